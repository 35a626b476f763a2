"""Drives one CDC-ACM port: transfers in and out, requests, and what it notifies."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from usbshare.base.errors import DeviceError, NotSupportedError
from usbshare.line.usbip.attaching import AttachedPort
from usbshare.line.usbip.send_window import SendWindow
from usbshare.usbip.cdc import SerialState, take_serial_states
from usbshare.usbip.descriptors import EndpointDescriptor, Request, Transfer
from usbshare.usbip.errors import GONE, STALLED, UNLINKED, UsbipError, status_name
from usbshare.usbip.messages import Direction, SetupPacket, Speed, SubmitReply

READS = 4
READ_BYTES = 512
NOTIFICATION_READS = 2
# As many as the kernel's cdc_acm has; real-time bytes may be as many again.
MOST_WRITES = 16
ANSWER_TIMEOUT_S = 3.0
LOOK_EVERY_S = 1.0
MOST_SILENT_S = 4.0
_EMPTY_READ_REST_S = 0.002
_MOST_ERRORS_IN_A_ROW = 10
_HIGHEST_INTERVAL = 16


class AcmPortListener(Protocol):
    """Receives the events of a port."""

    def received(self, data: bytes) -> None:
        """Take bytes that the device sent, never empty."""

    def room(self) -> None:
        """Note that a write is taken again, after one that was not taken whole."""

    def progressed(self) -> None:
        """Note that the device has taken bytes."""

    def notified(self, state: SerialState) -> None:
        """Note the modem lines of the device, and line events."""

    def failed(self, reason: str) -> None:
        """Note, once, that nothing more will come of the port."""


class AcmPort:
    """One port of an imported device; nothing here waits, all answers come by the loop."""

    def __init__(self, attached: AttachedPort, listener: AcmPortListener) -> None:
        self._device = attached.device
        self._function = attached.function
        self._listener = listener
        self._writes: dict[int, tuple[int, float]] = {}
        self._window = SendWindow()
        self._answers = 0
        self._answers_before = -1
        self._looking: asyncio.TimerHandle | None = None
        self._listening: asyncio.TimerHandle | None = None
        self._is_starved = False
        self._held: deque[bytes] = deque()
        self._is_paused = False
        self._idle_reads = READS
        self._errors = 0
        self._unread = bytearray()
        self._has_failed = False
        self._loop = asyncio.get_running_loop()

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the device has not taken."""
        return self._window.under_way_bytes

    def start(self) -> None:
        """Begin to read."""
        self._device.when_lost(self._lost)
        self._listen_again()
        self._read_more()
        if (endpoint := self._function.notifications) is not None:
            for _ in range(NOTIFICATION_READS):
                self._read_notification(endpoint)

    def write(self, data: bytes) -> int:
        """Send as many bytes as fit and return how many; less calls `room` later."""
        most = MOST_WRITES if len(data) > 1 else 2 * MOST_WRITES
        part = data[: self._window.room(len(data))] if len(self._writes) < most else b""
        self._is_starved = self._is_starved or len(part) < len(data)
        if not part:
            return 0
        endpoint = self._function.bulk_out.number
        seqnum = self._device.submit(endpoint, Direction.OUT, len(part), self._written, data=part)
        self._writes[seqnum] = len(part), self._loop.time()
        self._window.sent(len(part))
        self._look_later()
        return len(part)

    def discard_output(self) -> None:
        """Take back what the device has not taken; what is written next comes behind that."""
        writes, self._writes = self._writes, {}
        self._window.taken_back()
        for seqnum in writes:
            self._device.unlink(seqnum)
        self._listener.progressed()
        self._tell_room()

    def discard_input(self) -> None:
        """Throw away what came and was not delivered."""
        self._held.clear()

    def pause(self) -> None:
        """Deliver nothing: a few transfers are kept, then the device has to wait."""
        self._is_paused = True

    def resume(self) -> None:
        """Deliver again, what was kept first."""
        self._is_paused = False
        self._loop.call_soon(self._deliver_held)

    def request(self, setup: SetupPacket, data: bytes = b"") -> asyncio.Future[None]:
        """Send an OUT request at once and return its outcome, which need not be awaited.

        NotSupportedError where the device stalls, DeviceError where it is gone.
        """
        outcome: asyncio.Future[None] = self._loop.create_future()
        what = f"request {setup.request:#04x}"
        timer = self._loop.call_later(ANSWER_TIMEOUT_S, self._fail, f"{what} has no answer")

        def done(reply: SubmitReply) -> None:
            timer.cancel()
            if outcome.done():
                return
            if not reply.status:
                outcome.set_result(None)
                return
            outcome.set_exception(_error_of(what, reply.status))
            outcome.exception()  # retrieved, even if it is not awaited

        try:
            self._device.submit(0, Direction.OUT, len(data), done, data=data, setup=setup.encode())
        except UsbipError:
            timer.cancel()
            raise
        return outcome

    def end(self) -> None:
        """Expect nothing any more."""
        self._has_failed = True
        for timer in (self._looking, self._listening):
            if timer is not None:
                timer.cancel()

    def _written(self, reply: SubmitReply) -> None:
        if reply.status == GONE:
            return  # it counts as unsent: see `_lost`
        write = self._writes.pop(reply.seqnum, None)
        self._answers += 1
        if write is None or reply.status == UNLINKED:
            return
        size, sent_at = write
        now = self._loop.time()
        self._window.answered(size, now - sent_at, now)
        if reply.status:
            self._fail(f"writing ended with {status_name(reply.status)}")
        elif reply.actual_length not in (size, 0):  # some servers count what an IN brought only
            self._fail(f"it took {reply.actual_length} of {size} bytes")
        else:
            self._listener.progressed()
            self._tell_room()

    def _tell_room(self) -> None:
        if self._is_starved:
            self._is_starved = False
            self._loop.call_soon(self._listener.room)

    def _read_more(self) -> None:
        endpoint = self._function.bulk_in
        packet = max(1, endpoint.max_packet_bytes & 0x7FF)
        length = max(1, READ_BYTES // packet) * packet
        while self._idle_reads and not self._is_paused and not self._has_failed:
            self._idle_reads -= 1
            self._submit(endpoint, length, self._read)

    def _read(self, reply: SubmitReply) -> None:
        if reply.status in (GONE, UNLINKED):
            return
        self._idle_reads += 1
        if reply.status == STALLED:
            self._clear_halt(self._function.bulk_in, self._read_more)
        elif reply.status:
            self._read_failed(reply.status)
        elif reply.data:
            self._errors = 0
            self._deliver(reply.data)
            self._read_more()
        else:  # some servers answer at once where a device would have nothing to say
            self._loop.call_later(_EMPTY_READ_REST_S, self._read_more)

    def _read_failed(self, status: int) -> None:
        """Go on after an error of the bus, as the kernel does, but not for ever."""
        self._errors += 1
        if self._errors > _MOST_ERRORS_IN_A_ROW:
            self._fail(f"reading ended with {status_name(status)}")
        else:
            self._loop.call_later(_EMPTY_READ_REST_S, self._read_more)

    def _deliver(self, data: bytes) -> None:
        if self._is_paused or self._held:
            self._held.append(data)
        else:
            self._listener.received(data)

    def _deliver_held(self) -> None:
        while self._held and not self._is_paused and not self._has_failed:
            self._listener.received(self._held.popleft())
        self._read_more()

    def _read_notification(self, endpoint: EndpointDescriptor) -> None:
        if not self._has_failed:
            self._submit(endpoint, max(1, endpoint.max_packet_bytes & 0x7FF), self._notification)

    def _notification(self, reply: SubmitReply) -> None:
        endpoint = self._function.notifications
        if endpoint is None or reply.status in (GONE, UNLINKED):
            return
        if reply.status or not reply.data:
            # Without its notifications a port is still one; asked too often it would be a load.
            self._loop.call_later(LOOK_EVERY_S, self._read_notification, endpoint)
            return
        self._unread += reply.data
        for state in take_serial_states(self._unread):
            self._listener.notified(state)
        self._read_notification(endpoint)

    def _submit(
        self, endpoint: EndpointDescriptor, length: int, done: Callable[[SubmitReply], None]
    ) -> None:
        interval = _interval(endpoint, self._device.exported.speed)
        try:
            self._device.submit(endpoint.number, Direction.IN, length, done, interval=interval)
        except UsbipError as error:
            self._fail(str(error))

    def _clear_halt(self, endpoint: EndpointDescriptor, then: Callable[[], None]) -> None:
        self._errors += 1
        if self._errors > _MOST_ERRORS_IN_A_ROW:
            self._fail(f"endpoint {endpoint.address:#04x} stalls repeatedly")
            return
        try:
            cleared = self.request(SetupPacket(0x02, Request.CLEAR_FEATURE, 0, endpoint.address))
        except UsbipError as error:
            self._fail(str(error))
            return
        cleared.add_done_callback(lambda _: then())

    def _look_later(self) -> None:
        if self._looking is None:
            self._answers_before = self._answers
            self._looking = self._loop.call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        """Ask a device that takes nothing whether it is there: it may wait, the server may not."""
        self._looking = None
        if not self._writes or self._has_failed:
            return
        if self._answers == self._answers_before:
            try:
                self._ask_status()
            except UsbipError as error:
                self._fail(str(error))
                return
        self._look_later()

    def _listen(self) -> None:
        """Give up a link on which nothing is heard, not even that bytes arrive."""
        if self._device.silent_s > MOST_SILENT_S:
            self._fail(f"the server has been silent for {MOST_SILENT_S:g} s")
        else:
            self._listen_again()

    def _listen_again(self) -> None:
        self._listening = self._loop.call_later(LOOK_EVERY_S, self._listen)

    def _ask_status(self) -> None:
        setup = SetupPacket(0x80, Request.GET_STATUS, 0, 0, 2)
        timer = self._loop.call_later(ANSWER_TIMEOUT_S, self._fail, "the server is silent")
        self._device.submit(0, Direction.IN, 2, lambda _: timer.cancel(), setup=setup.encode())

    def _lost(self, error: UsbipError) -> None:
        self._fail(str(error))

    def _fail(self, reason: str) -> None:
        if self._has_failed:
            return
        self.end()
        waiting = self._window.under_way_bytes
        lost = f"; {waiting} bytes were in transit" if waiting else ""
        self._listener.failed(f"{reason}{lost}")


def _error_of(what: str, status: int) -> DeviceError | NotSupportedError:
    if status == GONE:
        return DeviceError(f"the device was lost before it answered {what}")
    kind = NotSupportedError if status == STALLED else DeviceError
    return kind(f"{what} ended with {status_name(status)}")


def _interval(endpoint: EndpointDescriptor, speed: int) -> int:
    """Return how often an interrupt endpoint is asked, as the kernel's URBs say it.

    In milliseconds; from high speed on in eighths of one, as a power of two (usb_fill_int_urb).
    The kernel refuses an interrupt transfer without one, and its server hangs up then.
    """
    if endpoint.transfer is not Transfer.INTERRUPT:
        return 0
    if speed >= Speed.HIGH and speed != Speed.WIRELESS:
        return int(1 << (min(max(endpoint.interval, 1), _HIGHEST_INTERVAL) - 1))
    return max(endpoint.interval, 1)
