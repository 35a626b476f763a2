"""One virtual COM port for one remote port, from start to clean end."""

from __future__ import annotations

import asyncio
import getpass
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usbshare.base.backoff import Backoff
from usbshare.base.errors import DeviceAbsentError, NotFoundError
from usbshare.base.event_loop import on_stop_signals, settle_garbage
from usbshare.base.threads import begin
from usbshare.base.waits import first_of
from usbshare.bridge.buffered.buffer_size import BufferSize
from usbshare.bridge.buffered.buffering import Buffering
from usbshare.bridge.forwarding.certificate_change import renewing
from usbshare.bridge.forwarding.relay import Relay
from usbshare.bridge.forwarding.report import Reporter
from usbshare.bridge.forwarding.slowness import Slowness
from usbshare.bridge.forwarding.urgent_line import UrgentLine
from usbshare.bridge.hosts.name_lookup import open_finder
from usbshare.bridge.hosts.tracker import HostTracker
from usbshare.bridge.local_ports.virtual_port import VirtualPort
from usbshare.client.connection_limiter import Turns
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.dialer import Dialer
from usbshare.client.serial.link import Link
from usbshare.client.serial.link_state import SessionChoice
from usbshare.client.serial.messages import LineOptions
from usbshare.client.serial.upstream import Upstream
from usbshare.line.settings import LineSettings
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

if TYPE_CHECKING:
    from usbshare.bridge.settings import Settings

STATUS_INTERVAL_S = 1.0
# A system takes a second or two to make a port of a device, and the service half a one to see it.
PLUG_IN_S = 4.0
PLUG_IN_LOOK_S = 0.25
NOTE_TIMEOUT_S = 1.0
STALE_ATTEMPT_S = 5.0


@dataclass(frozen=True, slots=True)
class BridgeChoice:
    """What to join: a service's port (empty id: its only one); `settings`: how to find it again.

    `program` is what we call ourselves to others. `buffered`: answer motion lines early, up to
    that much.
    """

    target: Target
    bundle: ClientBundle | None
    port_id: str
    observe: bool
    settings: Settings | None = None
    takes: bool = False
    program: str = "bridge"
    buffered: BufferSize | None = None


async def bridge(
    choice: BridgeChoice,
    port: VirtualPort,
    reporter: Reporter,
    stood: Callable[[str], None] | None = None,
) -> None:
    """Join until SIGINT or SIGTERM; raises why when the first connection fails.

    `stood` is called in a thread, once, with the remote port.
    """
    forwarding = Forwarding(choice, port, reporter)
    on_stop_signals(forwarding.end)
    await forwarding.run(stood, settle_garbage)


class Forwarding:
    """One local port joined to one remote port, until `end`."""

    def __init__(self, choice: BridgeChoice, port: VirtualPort, reporter: Reporter) -> None:
        buffering = None if choice.buffered is None else Buffering(choice.buffered)
        upstream = Upstream() if buffering is None else buffering.upstream
        self.relay = Relay(port, upstream, reporter, observe=choice.observe, buffering=buffering)
        self._choice = choice
        self._port = port
        self._reporter = reporter
        self._turns = Turns()
        self._dialer = Dialer(
            lambda attempt_s: SerialClient(self._tracker.target, self._tracker.bundle, attempt_s),
            self._turns,
            time.monotonic,
        )
        self._tracker = _tracker(choice, self.relay, self._dialer, reporter)
        self._link = Link(
            self._dialer,
            SessionChoice(
                choice.port_id,
                choice.observe,
                client_name(choice.program),
                takes=choice.takes,
                lines=None if buffering is None else LineOptions(),
            ),
            upstream,
            self.relay,
            Backoff(random.random),
            time.monotonic,
        )
        self.relay.link = self._link
        self._told = Slowness(reporter, str(choice.target))

    @property
    def place(self) -> tuple[Target, ClientBundle | None]:
        """Where the host is, as far as is known, and the certificate that is current."""
        return self._tracker.target, self._tracker.bundle

    def end(self) -> None:
        """Say goodbye after what has been read from the program, and let `run` return."""
        self._link.close()
        self._told.ending()

    async def run(
        self,
        stood: Callable[[str], None] | None = None,
        at_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Join until `end`; raises why when the first connection fails.

        `stood` is told in a thread, once, which remote port it is; `at_ready` is called when the
        local port is there.
        """
        relay, reporter = self.relay, self._reporter
        running = asyncio.create_task(_run(self._link, relay, reporter), name="link")
        noting: set[asyncio.Future[None]] = set()
        try:
            with self._told.connecting():
                stands = await _stands(running, relay)
            if stands:
                async with _urgent_line(self._choice, self._dialer, relay, reporter):
                    await _show_port(relay, self._port, reporter, self._choice, at_ready)
                    if stood is not None and relay.remote is not None:
                        noting.add(begin(stood, relay.remote.id))
                    async with renewing(relay, self._tracker, self._dialer, self._turns, reporter):
                        await _report_until(running, relay, reporter, self._tracker)
        finally:
            reporter.end()
            running.cancel()
            await self._tracker.close()
            await self._port.close()
            self._told.ended()
            if noting:  # a disk that hangs must not keep a bridge from ending
                await asyncio.wait(noting, timeout=NOTE_TIMEOUT_S)
        await asyncio.gather(running, return_exceptions=True)


def client_name(program: str) -> str:
    """Return what this client calls itself, program, user and computer, in 64 printable bytes."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have no entry for its user
        user = "unknown"
    name = "".join(c for c in f"{program} {user}@{socket.gethostname()}" if c.isprintable())
    return name.encode()[:64].decode(errors="ignore")


def _tracker(choice: BridgeChoice, relay: Relay, dialer: Dialer, reporter: Reporter) -> HostTracker:
    """Return what knows where to connect, and hurries the link when discovery sees the host."""

    def woken(has_moved: bool) -> None:
        if has_moved:
            where = str(tracker.target)
            reporter.event("moved", f"the host is now at {where}", target=where)
            if relay.urgent_line is not None:
                relay.urgent_line.move()
        # A host that was switched off and on does not know an attempt from before.
        dialer.abandon(0.0 if has_moved else STALE_ATTEMPT_S)
        if relay.link is not None:
            relay.link.retry_now()

    tracker = HostTracker(
        choice.target,
        choice.bundle,
        lambda: open_finder(choice.settings, tracker.bundle),
        woken,
        time.monotonic,
    )
    return tracker


async def _run(link: Link, relay: Relay, reporter: Reporter) -> None:
    """Run the link; a device that was plugged in just now gets a moment to become a port."""
    end = time.monotonic() + PLUG_IN_S
    while True:
        try:
            await link.run()
        except (NotFoundError, DeviceAbsentError) as error:
            if relay.connected.is_set() or time.monotonic() >= end:
                raise
            wait = f"waiting {PLUG_IN_S:g} s in case it was plugged in just now"
            reporter.event("waiting", f"{error}; {wait}", reason=str(error))
        else:
            return
        await asyncio.sleep(PLUG_IN_LOOK_S)


async def _stands(running: asyncio.Task[None], relay: Relay) -> bool:
    """Wait for the first session; False when the end came before it."""
    await first_of(running, relay.connected)
    if running.done():
        running.result()
    return not running.done()


@asynccontextmanager
async def _urgent_line(
    choice: BridgeChoice, dialer: Dialer, relay: Relay, reporter: Reporter
) -> AsyncIterator[None]:
    """Hold a connection for the program's stops; an observer's program has none."""
    if choice.observe:
        yield
        return
    line = UrgentLine(dialer, reporter, lambda: relay.link.latency.typical_s if relay.link else 0.0)
    line.start()
    relay.urgent_line = line
    try:
        yield
    finally:
        await line.close()


async def _show_port(
    relay: Relay,
    port: VirtualPort,
    reporter: Reporter,
    choice: BridgeChoice,
    at_ready: Callable[[], None],
) -> None:
    """Make the port appear."""
    settings = relay.remote.settings if relay.remote else LineSettings()
    if relay.remote is not None:
        port.far_end_is(choice.target.certified_name, relay.remote.id)
    await port.start(relay, settings)
    relay.port_is_ready = True
    at_ready()
    mode = "observing" if choice.observe else "ready"
    reporter.event("ready", f"{mode}: open {port.path}", path=port.path)


async def _report_until(
    running: asyncio.Task[None], relay: Relay, reporter: Reporter, tracker: HostTracker
) -> None:
    while not running.done():
        state = relay.link.state.value if relay.link else ""
        reporter.status(relay.status(str(tracker.target), state))
        tracker.link_is(up=relay.link is not None and relay.link.is_connected)
        await asyncio.wait((running,), timeout=STATUS_INTERVAL_S)
    running.result()
