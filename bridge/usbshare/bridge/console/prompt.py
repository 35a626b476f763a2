"""The console at a terminal: history, completion, colours, answers above the line being typed.

It runs in a thread with an event loop of its own: a terminal that takes nothing holds up no stop.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output import Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from usbshare.base.threads import in_thread
from usbshare.bridge.console.completion import ConsoleCompleter
from usbshare.bridge.console.conversation import MOST_WAITING, Conversation
from usbshare.bridge.console.history import FileHistory
from usbshare.bridge.console.lines import Kind, Line, for_people
from usbshare.bridge.tables.status_line import Status, status_line

MOST_UNSHOWN = 2000
END_S = 1.0
LEAST_COLUMNS = 40
# Lines of `status` about one port: their indent, and that of what stands behind a label.
_DETAIL, _BEHIND_LABEL = 4, 16
REFRESH_S = 1.0
_STYLE = Style.from_dict(
    {
        "ok": "ansigreen",
        "problem": "ansired bold",
        "report": "ansicyan",
        "news": "ansiyellow",
        "answer": "",
        "prompt": "bold",
        "bottom-toolbar": "noreverse ansibrightblack",
    }
)
_HINT = Line("to end: `quit` or Ctrl-D; to stop the machine: `stop`", Kind.NEWS)

Toolbar = Callable[[str], Status | None]


class PromptFace:
    """A person at a terminal."""

    name = "prompt"
    is_person = True
    most_waiting = MOST_WAITING

    def __init__(self, completer: ConsoleCompleter, history: FileHistory, toolbar: Toolbar) -> None:
        self._completer = completer
        self._history = history
        self._toolbar = toolbar
        self._unshown: deque[Line] = deque(maxlen=MOST_UNSHOWN)
        self._news = asyncio.Event()  # of the terminal's loop, which is the first to wait for it
        self._terminal: asyncio.AbstractEventLoop | None = None
        self._is_ending = False
        self._conversation: Conversation | None = None

    # What the conversation calls, on the console's loop.

    def tell(self, line: Line) -> None:
        """Show a line above the one being typed."""
        self._unshown.append(for_people(line))
        self._post(self._news.set)

    def hear(self, line: Line) -> None:
        """Show a line that nobody asked for, as any other."""
        self.tell(line)

    def prompt(self) -> None:
        """Do nothing: there is always a prompt."""

    async def room(self) -> None:
        """Do nothing: what a terminal does not take is dropped, the oldest first."""

    def interrupted(self) -> None:
        """Say how to end, and how to stop."""
        self.tell(_HINT)

    def leave(self) -> None:
        """End the conversation."""
        self._is_ending = True
        self._post(self._interrupt)

    async def serve(self, conversation: Conversation) -> None:
        """Converse until `quit` or Ctrl-D."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        told: list[BaseException] = []

        def post(callback: Callable[..., object], *arguments: object) -> None:
            with suppress(RuntimeError):  # that loop has ended
                loop.call_soon_threadsafe(callback, *arguments)

        def run() -> None:
            try:
                asyncio.run(self._converse(lambda text: post(conversation.take, text)))
            except BaseException as error:  # whatever it is, the console must end by it
                told.append(error)
            post(ended.set)

        self._conversation = conversation
        self.tell(Line("`help` lists the commands, Tab completes, Ctrl-D ends", Kind.NEWS))
        thread = threading.Thread(target=run, name="console terminal", daemon=True)
        thread.start()
        try:
            await ended.wait()
        finally:
            self.leave()
            await in_thread(thread.join, END_S)
            await in_thread(self._history.flush)
        if told:
            raise told[0]

    # The terminal's thread.

    async def _converse(self, take: Callable[[str], None]) -> None:
        self._terminal = asyncio.get_running_loop()
        session: PromptSession[str] = PromptSession(
            self._message,
            style=_STYLE,
            history=self._history,
            completer=self._completer,
            complete_style=CompleteStyle.READLINE_LIKE,
            complete_while_typing=False,
            bottom_toolbar=self._bottom,
            refresh_interval=REFRESH_S,
        )
        self._flush(session.output)
        showing = asyncio.create_task(self._show(session.output), name="show")
        try:
            while not self._is_ending:
                try:
                    text = await session.prompt_async()
                except KeyboardInterrupt:
                    self.interrupted()
                except EOFError:
                    return
                else:
                    for line in text.splitlines():
                        take(line)
        finally:
            self._flush(session.output)
            showing.cancel()

    async def _show(self, output: Output) -> None:
        """Show lines as they come, above the one being typed.

        `run_in_terminal` would leave raw mode for it, and lose the keys that are pressed meanwhile.
        """
        while True:
            self._news.clear()
            app = get_app_or_none()
            if self._unshown and app is not None and app.is_running:
                app.renderer.erase()
                self._flush(output)
                app.renderer.request_absolute_cursor_position()
                app.invalidate()
            else:
                self._flush(output)
            await self._news.wait()

    def _flush(self, output: Output) -> None:
        while self._unshown:
            line = self._unshown.popleft()
            text = FormattedText([(f"class:{line.kind.value}", _fitted(line)), ("", "\n")])
            print_formatted_text(output, text, _STYLE)

    def _message(self) -> FormattedText:
        text = "" if self._conversation is None else self._conversation.prompt
        return FormattedText([("class:prompt", text)])

    def _bottom(self) -> Any:
        status = self._conversation and self._toolbar(self._conversation.chosen_port)
        app = get_app_or_none()
        columns = 80 if app is None else app.output.get_size().columns
        return "" if not status else status_line(status, columns - 1)

    def _interrupt(self) -> None:
        self._news.set()
        app = get_app_or_none()
        if app is not None and app.is_running:
            with suppress(Exception):  # it ends already
                app.exit(exception=EOFError)

    def _post(self, callback: Callable[[], object]) -> None:
        terminal = self._terminal
        if terminal is not None:
            with suppress(RuntimeError):  # that loop has ended
                terminal.call_soon_threadsafe(callback)


def _fitted(line: Line) -> str:
    """Return a line cut between words for the terminal; answers that may be tables are not cut."""
    is_detail = line.text.startswith(" " * _DETAIL)
    if line.kind not in (Kind.NEWS, Kind.OK, Kind.PROBLEM) and not is_detail:
        return line.text
    columns = max(LEAST_COLUMNS, get_terminal_size().columns)
    behind = " " * _BEHIND_LABEL if is_detail else ""
    lines = wrap(line.text, columns, subsequent_indent=behind, break_on_hyphens=False)
    return "\n".join(lines) or line.text


def is_terminal() -> bool:
    """Return whether a person is there to talk to."""
    return sys.stdin.isatty() and sys.stdout.isatty()
