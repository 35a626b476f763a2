"""The standard requests that every device answers (USB 2.0, 9.4), as a serial port does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from usbshare.usbip.acm.descriptors import (
    CONFIGURATION,
    CONTROL_INTERFACE,
    DATA_INTERFACE,
    PortNames,
    descriptor,
)
from usbshare.usbip.descriptors import Request
from usbshare.usbip.messages import SetupPacket

_TO_DEVICE = 0
_RECIPIENT = 0x1F
_SELF_POWERED = bytes((1, 0))
_INTERFACES = (CONTROL_INTERFACE, DATA_INTERFACE)


class StandardRequests:
    """Answers them; keeps which configuration is chosen."""

    def __init__(self, names: PortNames) -> None:
        self._names = names
        self._configuration = 0

    def answer(self, setup: SetupPacket) -> bytes | None:
        """Return the data of the answer, perhaps none; None to refuse (a stall)."""
        known = self._ANSWERS.get(setup.request)
        return None if known is None else known(self, setup)

    def _descriptor(self, setup: SetupPacket) -> bytes | None:
        return descriptor(setup.value >> 8, setup.value & 0xFF, self._names)

    def _status(self, setup: SetupPacket) -> bytes | None:
        is_device = setup.request_type & _RECIPIENT == _TO_DEVICE
        return _SELF_POWERED if is_device else bytes(2)

    def _which_configuration(self, setup: SetupPacket) -> bytes | None:
        del setup
        return bytes((self._configuration,))

    def _configure(self, setup: SetupPacket) -> bytes | None:
        if setup.value not in (0, CONFIGURATION):
            return None
        self._configuration = setup.value
        return b""

    def _which_alternate(self, setup: SetupPacket) -> bytes | None:
        return bytes(1) if setup.index in _INTERFACES else None

    def _choose_alternate(self, setup: SetupPacket) -> bytes | None:
        return b"" if setup.index in _INTERFACES and setup.value == 0 else None

    def _done(self, setup: SetupPacket) -> bytes | None:
        del setup
        return b""

    _ANSWERS: Mapping[int, Callable[[StandardRequests, SetupPacket], bytes | None]] = (
        MappingProxyType(
            {
                Request.GET_STATUS: _status,
                Request.CLEAR_FEATURE: _done,
                Request.SET_ADDRESS: _done,
                Request.GET_DESCRIPTOR: _descriptor,
                Request.GET_CONFIGURATION: _which_configuration,
                Request.SET_CONFIGURATION: _configure,
                Request.GET_INTERFACE: _which_alternate,
                Request.SET_INTERFACE: _choose_alternate,
            }
        )
    )
