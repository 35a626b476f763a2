"""Which firmware is behind one port: as configured, or as recognised."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum

from usbshare.line.flow.replies import Kind, ReplySplitter, Said
from usbshare.line.gcode_text import has_gcode
from usbshare.line.profiles import AUTO, GCODE, Profile, StopAction
from usbshare.line.recognition import Recogniser

log = logging.getLogger(__name__)

_UNKNOWN = frozenset({AUTO.name, GCODE.name})


class StopBytes(Enum):
    """What an emergency stop has to send."""

    OWN = "own"
    FALLBACK = "fallback"
    NONE = "none"


class Firmware:
    """Follows one port's device; `on_change` is called when another profile is in force.

    `sees_gcode`: G-code flows to a device whose stops are not those of a known firmware.
    `buffer_bytes`: what its receive buffer holds, 0 while it has not said so. `owes_replies`: lines
    were written, and nobody knows whether all of them are answered.
    """

    def __init__(
        self, port_id: str, configured: Profile | None, on_change: Callable[[], None]
    ) -> None:
        self.sees_gcode = False
        self.buffer_bytes = self._unanswered = 0
        self.owes_replies = False
        self._late_replies: ReplySplitter | None = None
        self.profile: Profile = configured or AUTO
        self._stops_are_known = self.stop_bytes is StopBytes.OWN
        self._port_id = port_id
        self._is_configured = configured is not None
        self._on_change = on_change
        self._recogniser = None if self._is_configured else Recogniser()

    @property
    def stop_bytes(self) -> StopBytes:
        """What an emergency stop has to send."""
        if self.profile.name in _UNKNOWN:
            return StopBytes.FALLBACK
        plan = self.profile.stops.get(StopAction.EMERGENCY_STOP)
        return StopBytes.OWN if plan is not None and plan.data else StopBytes.NONE

    def heard(self, data: bytes) -> None:
        """Take what the device says; replies to lines of a session that has ended count."""
        if self._unanswered and self._late_replies is not None:
            self._answered_late(self._late_replies, data)
        if self._recogniser is not None and (profile := self._recogniser.feed(data)) is not None:
            self._is_now(profile)

    def wrote(self, data: bytes) -> None:
        """Take bytes of a program, before the device has them."""
        self.owes_replies = True
        if self._recogniser is not None:
            self._recogniser.wrote(data)
        if self.sees_gcode or self._stops_are_known:
            return
        if has_gcode(data):
            self.sees_gcode = True
            log.warning("%s", self._what_a_stop_does())
            if not self._is_configured:
                self._take(GCODE)
            self._on_change()

    def was(self, profile: Profile) -> None:
        """Restore what was known when the service crashed; it cannot have changed since."""
        if not self._is_configured:
            self._take(profile)

    def has_buffer(self, size: int | None) -> None:
        """Note the size of its receive buffer; None says nothing."""
        self.buffer_bytes = size or self.buffer_bytes

    @property
    def awaits_reply(self) -> bool:
        """Whether replies to lines of a session that has ended may still come."""
        return self._unanswered > 0

    def left_unanswered(self, lines: int, replies: ReplySplitter) -> None:
        """Note to how many lines of a session that has ended replies may still come."""
        self._unanswered, self.owes_replies = lines, lines > 0
        self._late_replies = replies

    def take_unanswered(self) -> int:
        """Return that number; the caller handles the replies from now on."""
        lines = self._unanswered
        self._unanswered, self.owes_replies = 0, False
        return lines

    def forget(self) -> None:
        """Start over: the device is gone, and another one may come."""
        self.sees_gcode = self.owes_replies = False
        self.buffer_bytes = self._unanswered = 0
        if not self._is_configured:
            self._take(AUTO)
            self._recogniser = Recogniser()

    def _answered_late(self, replies: ReplySplitter, data: bytes) -> None:
        for part in replies.feed(data):
            if isinstance(part, Said) and part.kind in (Kind.OK, Kind.ERROR) and self._unanswered:
                self._unanswered -= 1

    def _take(self, profile: Profile) -> None:
        self.profile = profile
        self._stops_are_known = self.stop_bytes is StopBytes.OWN

    def _is_now(self, profile: Profile) -> None:
        if profile is self.profile:
            return
        self._take(profile)
        self.sees_gcode = False
        log.info("port '%s' speaks %s", self._port_id, profile.name)
        self._on_change()

    def _what_a_stop_does(self) -> str:
        name = f"port '{self._port_id}' gets G-code"
        if self.stop_bytes is StopBytes.NONE:
            return (
                f"{name} and has profile '{self.profile.name}': a stop SENDS NO BYTES there; "
                f"set its profile, or [ports.{self._port_id}.stop]"
            )
        sent = self.profile.stop_plan(StopAction.EMERGENCY_STOP).data
        return (
            f"{name}, and its firmware is not recognised: a stop sends {sent!r}, which every "
            "G-code firmware obeys; better set the port's profile"
        )
