"""The console over pipes: a line in, its answers out, without a prompt."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TextIO

from usbshare.base.line_writer import LineWriter
from usbshare.base.threads import in_thread
from usbshare.base.waits import first_of
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.console.conversation import MOST_READ_AHEAD, Conversation
from usbshare.bridge.console.language import MOST_LINE_BYTES
from usbshare.bridge.console.lines import Line

UNREAD_S = 3600.0


class PlainFace:
    """Reads lines from a stream in a thread, as there is room for them; writes in another.

    Answers wait for a slow reader; what nobody asked for is dropped then, and counted.
    """

    name = "stdin"
    is_person = False
    most_waiting = MOST_READ_AHEAD

    def __init__(self, source: TextIO, sink: TextIO, errors: TextIO) -> None:
        self._source = source
        self._lines = LineWriter(sink, lambda lost: f"{lost} lines dropped: not read in time\n")
        self._errors = LineWriter(errors, lambda lost: f"{lost} lines dropped\n")
        self._ended = asyncio.Event()

    def tell(self, line: Line) -> None:
        """Write a line."""
        self._lines.write(f"{line.text}\n")

    def hear(self, line: Line) -> None:
        """Tell on stderr what nobody asked for: stdout is for answers."""
        self._errors.write(f"bridge: {line.text}\n")

    def prompt(self) -> None:
        """Do nothing: programs need none."""

    async def room(self) -> None:
        """Wait until what was written has been taken."""
        if self._lines.is_behind:
            await in_thread(self._lines.flush, UNREAD_S)

    def leave(self) -> None:
        """End the conversation."""
        self._ended.set()

    async def serve(self, conversation: Conversation) -> None:
        """Take lines until the stream ends and all is answered, or until `quit`."""
        reading = asyncio.create_task(self._read(conversation), name="console stdin")
        try:
            await first_of(reading, self._ended)
            if reading.done():
                reading.result()
        finally:
            await cancel_all(reading)
            await in_thread(self._lines.flush, 1.0)
            await in_thread(self._errors.flush, 1.0)

    async def _read(self, conversation: Conversation) -> None:
        # One line ahead of those that wait; the thread outlives us while it waits for input.
        loop, lines = asyncio.get_running_loop(), asyncio.Queue[str](1)

        def read() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended in the meantime
                while True:
                    line = self._source.readline(MOST_LINE_BYTES + 2)
                    asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
                    if not line:
                        return

        threading.Thread(target=read, name="console stdin", daemon=True).start()
        while line := await lines.get():
            while not conversation.has_room:
                await conversation.next_done()
            conversation.take(line)
        await conversation.finish()
