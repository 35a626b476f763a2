"""The console from start to end: the host, its table, and the faces that were asked for."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from usbshare.base.event_loop import on_stop_signals
from usbshare.base.logs import warn_on_stderr
from usbshare.base.waits import first_of
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.console.commands import command_table
from usbshare.bridge.console.completion import ConsoleCompleter, Known
from usbshare.bridge.console.conversation import Conversation, Face
from usbshare.bridge.console.endpoints import Endpoints
from usbshare.bridge.console.history import console_history
from usbshare.bridge.console.host import Host, HostChoice
from usbshare.bridge.console.log_lines import warn_at
from usbshare.bridge.console.plain import PlainFace
from usbshare.bridge.console.prompt import PromptFace, is_terminal
from usbshare.bridge.console.table import Table
from usbshare.bridge.console.tcp import ConsoleServer
from usbshare.bridge.console.udp import ConsoleDatagrams
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress


@dataclass(frozen=True, slots=True)
class ConsoleChoice:
    """Which host and port, and where to listen for programs; None: nowhere."""

    host: HostChoice
    port_id: str
    tcp: LoopbackAddress | None
    udp: LoopbackAddress | None


async def run_console(choice: ConsoleChoice) -> int:
    """Serve until `quit`, the end of stdin, SIGINT, SIGTERM or SIGHUP; returns the exit code.

    While it listens for programs, the end of stdin ends nothing.
    """
    ended = asyncio.Event()
    on_stop_signals(ended.set)
    _on_hangup(ended.set)
    # What is open is closed here, not by the task that may be cancelled: a goodbye must be said.
    async with AsyncExitStack() as stack:
        serving = asyncio.create_task(_serve(choice, stack), name="console")
        try:
            await first_of(serving, ended)
            return serving.result() if serving.done() else 0
        finally:
            await cancel_all(serving)


async def _serve(choice: ConsoleChoice, stack: AsyncExitStack) -> int:
    host = Host(choice.host)
    stack.push_async_callback(host.close)
    await host.start(choice.port_id)
    table = command_table(host)
    is_listening = False
    for server in _servers(choice, host, table):
        await server.start()
        stack.push_async_callback(server.close)
        warn(f"listening at {server.path}")
        is_listening = True
    failures = await _converse(host, table)
    if is_listening and not is_terminal():
        await asyncio.get_running_loop().create_future()  # until it is cancelled
    return 1 if failures else 0


def _servers(
    choice: ConsoleChoice, host: Host, table: Table
) -> list[ConsoleServer | ConsoleDatagrams]:
    def begin(face: Face) -> Conversation:
        conversation = Conversation(face, host, table)
        host.audience.join(conversation)
        return conversation

    servers: list[ConsoleServer | ConsoleDatagrams] = []
    if choice.tcp is not None:
        servers.append(ConsoleServer(choice.tcp, begin))
    if choice.udp is not None:
        servers.append(ConsoleDatagrams(choice.udp, begin))
    return servers


async def _converse(host: Host, table: Table) -> int:
    """Converse over stdin and stdout; returns how often something went wrong."""
    face: PromptFace | PlainFace
    if is_terminal():
        face = _prompt(host, table)
        warn_at(face.hear)
        _survive_interrupts(face)
    else:
        face = PlainFace(sys.stdin, sys.stdout, sys.stderr)
        warn_on_stderr()
    async with _conversation(face, host, table) as conversation:
        await face.serve(conversation)
        return conversation.failures


def _on_hangup(callback: Callable[[], None]) -> None:
    """Call back when the terminal is gone, unless that is to be ignored, as by nohup."""
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        asyncio.get_running_loop().add_signal_handler(hangup, callback)


def _survive_interrupts(face: PromptFace) -> None:
    """Let Ctrl-C end nothing: between two prompts it comes as a signal, otherwise as a key."""
    with suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, face.interrupted)


def _prompt(host: Host, table: Table) -> PromptFace:
    known = Known(lambda: host.ports, lambda: host.jobs, Endpoints(host).paths)
    completer = ConsoleCompleter(table, known)
    return PromptFace(completer, console_history(), host.last_status)


@asynccontextmanager
async def _conversation(face: Face, host: Host, table: Table) -> AsyncIterator[Conversation]:
    conversation = Conversation(face, host, table)
    host.audience.join(conversation)
    try:
        yield conversation
    finally:
        await conversation.close()
