"""Whether a device is the one that a port or camera has, and how another one is refused."""

from __future__ import annotations

import logging

from usbshare.line.device_id_file import KnownDevices
from usbshare.line.physical_device import PhysicalDevice

log = logging.getLogger(__name__)


class OwnDevice:
    """The device of one id: fixed from the start, or that of its first opening.

    `service` and `kind` are what people call them: `serial-svc`, `port`. With `in_any_socket` the
    source names the device by its serial number, so it is followed from socket to socket.
    """

    def __init__(
        self,
        name: str,
        known: KnownDevices,
        *,
        service: str,
        kind: str,
        fixed: PhysicalDevice | None = None,
        in_any_socket: bool = False,
    ) -> None:
        self._name = name
        self._known = known
        self._service = service
        self._kind = kind
        self._fixed = fixed
        self._in_any_socket = in_any_socket
        self._told: PhysicalDevice | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether the id was made of the device."""
        return self._fixed is not None

    def expected(self) -> PhysicalDevice | None:
        """Return which device it is; None if there has been none, or no USB device."""
        return self._fixed or self._known.expected(self._name)

    def why_not(self, path: str, found: PhysicalDevice | None) -> str:
        """Return why the device at the path must not be used, empty if it may; blocks."""
        if self._is_right(found):
            return ""
        self._known.drop_forgotten_in_time()
        if self._is_right(found):
            return ""
        if (expected := self.expected()) is None:
            return (
                f"refused: it is unknown which device this {self._kind} had; check what is "
                f"plugged in, then `{self._service} devices forget {self._name}` lets it take "
                "that"
            )
        self._tell(path, found, expected)
        return self._refusal(path, found, expected)

    def opened(self, found: PhysicalDevice | None) -> None:
        """Record the device that was opened as its own, permanently."""
        self._told = None
        if found is not None and not self.is_fixed and found != self.expected():
            self._known.record(self._name, found)
            log.info("%s '%s' now belongs to the device %s", self._kind, self._name, found)

    def _is_right(self, found: PhysicalDevice | None) -> bool:
        expected = self.expected()
        if expected is None:
            return self.is_fixed or not self._known.is_unreadable(self._name)
        if self._in_any_socket and found is not None:
            return expected.without_socket == found.without_socket
        return expected == found

    def _refusal(self, path: str, found: PhysicalDevice | None, expected: PhysicalDevice) -> str:
        remedy = "plug that device in there"
        if not self.is_fixed:
            forget = f"`{self._service} devices forget {self._name}`"
            remedy += f", or let the {self._kind} take the new one: {forget}"
        what = f"{path} is another device ({found or 'no USB device'})"
        return f"refused: {what}; this {self._kind}'s is {expected}: {remedy}"

    def _tell(self, path: str, found: PhysicalDevice | None, expected: PhysicalDevice) -> None:
        if found is not None and found != self._told:
            self._told = found
            log.warning(
                "%s '%s' refused %s at %s: its device is %s",
                *(self._kind, self._name, found, path, expected),
            )
