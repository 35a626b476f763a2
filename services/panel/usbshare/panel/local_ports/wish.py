"""The settings of a local port, and its state. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from usbshare.base.errors import InvalidArgumentError
from usbshare.panel.kept_list import KeptList

LONGEST_TEXT = 300


class PortKind(Enum):
    """How programs reach a local port; the value is the bridge's option without its dashes."""

    SERIAL = "vcom"
    TCP = "tcp"
    RFC2217 = "rfc2217"
    USB = "usb-port"


class PortState(Enum):
    """The state of a local port."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Wish:
    """A requested local port.

    `host_name` is how a bridge finds the host; `where` is the value of the bridge's option, a COM
    port's name or an address. `is_kept`: it outlives the panel, and is started again with it.
    """

    id: str
    host: str
    host_name: str
    port_id: str
    kind: PortKind
    where: str
    is_buffered: bool = False
    is_kept: bool = False
    unix_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it for a file."""
        return asdict(self) | {"kind": self.kind.value}

    @classmethod
    def of_json(cls, told: dict[str, Any]) -> Wish:
        """Read it from a file's JSON; raises InvalidArgumentError."""
        try:
            kind = PortKind(told["kind"])
            return cls(
                str(told["id"]),
                str(told["host"]),
                str(told["host_name"]),
                str(told["port_id"]),
                kind,
                str(told["where"]),
                told["is_buffered"] is True,
                told["is_kept"] is True,
                float(told["unix_s"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgumentError(f"no local port: {error}") from error


# A bridge says what to type.
_HELD = "its machine is held or stopped: the machine's page says why, and can continue it"


@dataclass(slots=True)
class BridgeNews:
    """The state of a bridge process, read line by line from its JSON events."""

    state: PortState = PortState.STARTING
    reason: str = ""
    place: str = ""
    is_open: bool = False
    _last_text: str = field(default="", repr=False)

    def heard(self, line: bytes) -> None:
        """Take one line of its output; a line that is not an event may be the reason of its end."""
        try:
            told = json.loads(line)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            self._last_text = _text(line.decode(errors="replace"))
            return
        if "error" in told:
            self._last_text = _text(told["error"])
            return
        self._event(str(told.get("event", "")), told)

    def ended(self) -> None:
        """Note that it has ended by itself."""
        self.state = PortState.FAILED
        self.is_open = False
        self.reason = self._last_text or "its bridge has ended"

    def _event(self, name: str, told: dict[str, Any]) -> None:
        match name:
            case "ready":
                self.state, self.reason = PortState.READY, ""
                self.place = _text(told.get("path", ""))
            case "renamed":
                self.place = _text(told.get("path", self.place))
            case "opened":
                self.is_open = True
            case "closed":
                self.is_open = False
            case "connected" | "resumed":
                self.reason = ""
            case "held":
                self.reason = _HELD
            case "lost" | "waiting" | "shut_out" | "refused" | "hung_up":
                self.reason = _text(told.get("text", ""))
            case "released":
                self.reason = ""


def _text(told: object) -> str:
    return str(told).strip()[:LONGEST_TEXT]


def _wish(told: Any) -> Wish:
    return Wish.of_json(told if isinstance(told, dict) else {})


KEPT_WISHES: KeptList[Wish] = KeptList(
    "ports.json",
    "local_ports",
    "the local ports of the last run",
    256 * 1024,
    _wish,
    Wish.as_json,
)
