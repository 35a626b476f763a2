"""Choosing what hosts have by what is known of it: `vid=1a86`, `host=laser*`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from usbshare.base.errors import InvalidArgumentError
from usbshare.client.camera.messages import RemoteCamera
from usbshare.client.serial.messages import RemotePort

# What is known of a port or a camera: each key of `KEYS` to the texts that a pattern may fit.
Facts = Mapping[str, Sequence[str]]

PORT, CAMERA, JOB, USB = "port", "camera", "job", "usb"
KEYS = (
    "host",
    "kind",
    "id",
    "vid",
    "pid",
    "usb",
    "serial",
    "socket",
    "description",
    "state",
    "holder",
    "profile",
)
_HEX_KEYS = frozenset({"vid", "pid", "usb"})
_HEX_PREFIX = re.compile(r"\b0x")


@dataclass(frozen=True, slots=True)
class Criterion:
    """One `KEY=PATTERN`: part of a fact, or a glob for all of it; no pattern: the fact is empty."""

    key: str
    pattern: str

    def __str__(self) -> str:
        return f"{self.key}={self.pattern}"

    def fits(self, facts: Facts) -> bool:
        """Return whether one of the facts fits; case does not matter."""
        return any(self._fits(text.casefold()) for text in facts[self.key])

    def _fits(self, text: str) -> bool:
        wanted = self.pattern.casefold()
        if self.key in _HEX_KEYS:
            wanted = _HEX_PREFIX.sub("", wanted)
        if not wanted:
            return not text
        return fnmatchcase(text, wanted) if set(wanted) & set("*?[") else wanted in text


def parse_criterion(text: str) -> Criterion:
    """Read `KEY=PATTERN`; InvalidArgumentError lists the keys."""
    key, separator, pattern = text.partition("=")
    key = key.strip().lower()
    if not separator or key not in KEYS:
        raise InvalidArgumentError(
            f"{text!r}: give KEY=PATTERN, as in vid=1a86; the keys are {', '.join(KEYS)}"
        )
    return Criterion(key, pattern.strip())


def fits_all(criteria: Iterable[Criterion], facts: Facts) -> bool:
    """Return whether every criterion holds."""
    return all(criterion.fits(facts) for criterion in criteria)


def facts_of(port: RemotePort, host_names: Sequence[str]) -> Facts:
    """Return what is known of a port of a host with those names and addresses."""
    vendor, product = _hex(port.vendor_id), _hex(port.product_id)
    return {
        "host": host_names,
        "kind": (PORT,),
        "id": (port.id,),
        "vid": (vendor,),
        "pid": (product,),
        "usb": (f"{vendor}:{product}" if vendor and product else "",),
        "serial": (port.serial_number,),
        "socket": (port.usb_socket,),
        "description": (port.description or port.device or port.source,),
        "state": _states(port),
        "holder": (port.holder,),
        "profile": (port.profile.name,),
    }


def facts_of_camera(camera: RemoteCamera, host_names: Sequence[str]) -> Facts:
    """Return what is known of a camera of a host with those names and addresses."""
    nothing: dict[str, Sequence[str]] = dict.fromkeys(KEYS, ("",))
    return nothing | {
        "host": host_names,
        "kind": (CAMERA,),
        "id": (camera.id,),
        "description": (camera.name or camera.source,),
        "state": (camera.state.value,),
    }


def facts_of_service(kind: str, state: str, host_names: Sequence[str]) -> Facts:
    """Return what is known of the job or USB service of a host with those names and addresses."""
    nothing: dict[str, Sequence[str]] = dict.fromkeys(KEYS, ("",))
    return nothing | {"host": host_names, "kind": (kind,), "id": (kind,), "state": (state,)}


def _states(port: RemotePort) -> Sequence[str]:
    states = (port.state, "latched" if port.latched else "", "held" if port.hold else "")
    return tuple(filter(None, states))


def _hex(number: int | None) -> str:
    return "" if number is None else f"{number:04x}"
