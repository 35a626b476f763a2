"""A resume, until the machine itself says that it continues.

GRBL ignores `~` while it brakes, retracts, or has its door open (github.com/gnea/grbl, protocol.c:
a cycle start acts on a hold that is complete, and on a closed door behind which all is retracted;
any other is cleared). Its reports say so: `Hold:1` and `Door:2` are on their way, `Hold:0` and
`Door:0` can be resumed, `Door:1` is an open door.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from usbshare.base.errors import DeviceError, PortLatchedError, WrongStateError
from usbshare.base.waits import set_within
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.stop.hold import SeenHold
from usbshare.serial_svc.stop.machine import Machine, resume_bytes
from usbshare.serial_svc.stop.report_requests import BRAKING, LIMIT_S, LOOK_S, STATUS

log = logging.getLogger(__name__)

_CAN_RESUME = frozenset({b"Hold:0", b"Door:0"})
_DOOR_OPEN = b"Door:1"
_DOOR_PIN, _HOLD_PIN = ord("D"), ord("H")
_OPEN = "its door is open: close it, look at the machine, then resume again"
_PRESSED = "its hold button is pressed: release it, look at the machine, then resume again"
_NOT_AT_REST = "it has not come to rest yet: resume again once it has"
# A spindle may have to speed up first.
_NOT_STARTED = "it may still begin to move: look at the machine, then resume again"
_LOOK = "look at the machine, then resume again"


@dataclass(slots=True)
class _Request:
    """One person's resume that has been written, and what the machine reported since."""

    seen: SeenHold
    written_at: float
    news: asyncio.Event = field(default_factory=asyncio.Event)
    state: bytes = b""
    was_ignored: bool = False
    why_over: str = ""
    sent_again: bytes = b""


class Resumes:
    """Follows resumes while those who asked wait for the answer; nothing is done after that.

    One that came while the machine could not obey is written once more, as soon as it can: where it
    reported to be braking after the resume, has been held ever since, and was not stopped or held
    again by anybody.
    """

    def __init__(self, line: Line, machine: Machine, clock: Callable[[], float]) -> None:
        self._line = line
        self._machine = machine
        self._clock = clock
        self._requests: list[_Request] = []

    async def until_obeyed(self) -> bytes:
        """Return once the machine continues, what was written again; call it with the resume.

        Raises WrongStateError if it is still held after 2 s or cannot resume, PortLatchedError if
        it was stopped or held again, DeviceError if the device is gone.
        """
        if not self._is_followed:
            return b""
        request = _Request(self._seen(), self._clock())
        left_s = LIMIT_S
        self._requests.append(request)
        try:
            # Its answer says how the machine was when it got the resume.
            self._line.writer.urgent(STATUS)
            while self._waits(request) and left_s > 0:
                request.news.clear()
                begun = self._clock()
                if not await set_within(request.news, LOOK_S):
                    self._machine.requests.ask()
                # While this service stood still, nobody waited for the machine.
                left_s -= min(self._clock() - begun, LOOK_S)
        finally:
            self._requests.remove(request)
        self._require_obeyed(request)
        return request.sent_again

    def reported(self, state: bytes, begun_at: float) -> None:
        """Note the state that the machine reports, in a report that began at that monotonic time.

        The holds know it already. A report of before a resume says nothing about that.
        """
        for request in self._requests:
            if begun_at < request.written_at:
                continue
            request.state = state
            self._follow(request)
            request.news.set()

    @property
    def _is_followed(self) -> bool:
        line = self._line
        return line.is_open and line.profile.reports_state and self._machine.holds.is_machine_held

    def _seen(self) -> SeenHold:
        return SeenHold(self._line.latch.epoch, self._machine.holds.number)

    def _waits(self, request: _Request) -> bool:
        is_same = request.seen == self._seen() and self._line.is_open
        return is_same and self._machine.holds.is_machine_held and not request.why_over

    def _follow(self, request: _Request) -> None:
        if not self._waits(request):
            return
        pins = self._machine.activity.reports.pins
        if request.state == _DOOR_OPEN or _DOOR_PIN in pins:
            request.why_over = _OPEN  # whoever closes it later has not resumed
        elif _HOLD_PIN in pins:
            request.why_over = _PRESSED
        elif request.state in BRAKING:
            request.was_ignored = True
        elif request.state in _CAN_RESUME and request.was_ignored and not request.sent_again:
            self._write_again(request)

    def _write_again(self, request: _Request) -> None:
        data = resume_bytes(self._line.profile)
        try:
            self._line.writer.urgent(data)
        except DeviceError as error:
            log.error("port '%s' was not resumed: %s", self._line.id, error)
            request.why_over = str(error)
            return
        request.sent_again = data
        log.info("port '%s': the machine was still braking; resumed it now", self._line.id)

    def _require_obeyed(self, request: _Request) -> None:
        line, name = self._line, f"port '{self._line.id}'"
        if not line.is_open:
            raise DeviceError(f"{name} has no device: {line.keeper.reason}")
        if request.seen != self._seen():
            raise PortLatchedError(
                f"{name} was stopped or held again while it was being resumed; look at the machine"
            )
        if self._machine.holds.is_machine_held:
            raise WrongStateError(f"{name} is still held: {_why(request)}")


def _why(request: _Request) -> str:
    if not request.state:
        return "the machine was asked and has not reported its state; look at it"
    state = request.state.decode("ascii", errors="replace")
    return f"the machine reports {state}; {request.why_over or _what_to_do(request.state)}"


def _what_to_do(state: bytes) -> str:
    if state in BRAKING:
        return _NOT_AT_REST
    return _NOT_STARTED if state in _CAN_RESUME else _LOOK
