"""How a held or latched port is described: by what, since when, and what continues it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usbshare.client.serial.messages import Hold, RemoteLatch, RemotePort
from usbshare.line.alarm_texts import explained_alarm

_HELD_BY = {
    "link loss": "link lost",
    "waiting": "bytes wait",
    "stop": "stop",
    "program": "program",
    "machine": "machine",
    "alarm": "alarm",
    "line error": "line error",
}
_COMMAND = "`usbshare-bridge stop {option}`"
_RESUME = f"~ from the program or {_COMMAND.format(option='--resume')} continues"
_REARM = f"{_COMMAND.format(option='--rearm')} releases it"
_NEXT = {
    "resume": _RESUME,
    "rearm": _REARM,
    "rearm or reset": f"{_REARM}, and so does a reset from the program",
    "machine": "clear it at the machine (its door, its button, $X or homing)",
}
_WHAT = {
    "link loss": "the link was lost, and the machine is held",
    "waiting": "the link was lost, and the bytes written before wait",
    "stop": "a stop holds the machine",
    "program": "a program holds the machine",
    "machine": "the machine reports that it is held",
    "alarm": "the machine reports that it is in alarm",
    "line error": "a streamed line failed, and the lines behind it wait:",
}
_LATCHED = {"job lost": "a job was lost, and programs are refused"}


def is_other(before: RemotePort | None, port: RemotePort) -> bool:
    """Return whether something else is held or latched than before, or nothing any more."""
    was = (before.hold, before.latch) if before is not None else (None, None)
    return was != (port.hold, port.latch)


def is_lost_job(port: RemotePort) -> bool:
    """Return whether programs are refused since a job was lost."""
    return port.latch is not None and port.latch.cause == "job lost"


def news(port: RemotePort) -> tuple[str, str]:
    """Return the name of the event, and what it tells people."""
    if port.hold is None and port.latch is None:
        return "released", "nothing is held now"
    return "held", sentences(port)


def short(port: RemotePort) -> str:
    """Return it in two or three words for a status line or table; "" if nothing is held."""
    parts = []
    if port.latch is not None:
        parts.append("job lost" if port.latch.cause == "job lost" else "latched")
    elif port.latched:
        parts.append("latched")
    if port.hold is not None:
        by = _HELD_BY.get(port.hold.cause, port.hold.cause)
        parts.append(by if port.hold.cause == "alarm" else f"held: {by}")
    return ", ".join(parts)


def alarm_of(hold: Hold | None) -> str:
    """Return the firmware's words for an alarm, such as `ALARM:1`; empty where it told none."""
    is_told = hold is not None and hold.cause == "alarm" and hold.reason != "Alarm"
    return hold.reason if hold is not None and is_told else ""


def sentences(port: RemotePort) -> str:
    """Return all that is known about it, and what to do; "" if nothing is held."""
    return described(port, _NEXT)


def described(port: RemotePort, what_to_do: Mapping[str, str]) -> str:
    """Return all that is known about it, with what to do for each way to release it."""
    told = []
    if port.latch is not None:
        told.append(_latch(port.latch, what_to_do))
    elif port.latched:  # by a service that does not say more
        told.append(f"an emergency stop has latched the port; {what_to_do['rearm']}")
    if port.hold is not None:
        told.append(_hold(port.hold, what_to_do))
    return "; ".join(told)


def why_fenced(port: RemotePort, what_to_do: Mapping[str, str] = _NEXT) -> str:
    """Return why the port took what its program was doing away from it."""
    if port.latched:
        return described(port, what_to_do)
    if port.state != "open":
        return f"the device is gone{(': ' + port.reason if port.reason else '')}"
    return "a stop, a reset or a lost session has ended its program's work"


def fields(port: RemotePort) -> dict[str, Any]:
    """Return `held`, `latch` and `machine_state` for JSON; None for a part that there is not."""
    return {
        "held": None if port.hold is None else _hold_fields(port.hold),
        "latch": None if port.latch is None else _common(port.latch),
        "machine_state": port.machine_state,
    }


def _hold(hold: Hold, what_to_do: Mapping[str, str]) -> str:
    what = _WHAT.get(hold.cause, f"the machine is held ({hold.cause})")
    return f"{what}{_reason(hold)} {_since(hold)}{_waiting(hold)}: {_next(hold, what_to_do)}"


def _reason(hold: Hold) -> str:
    if alarm := alarm_of(hold):
        return f" ({explained_alarm(alarm)})"
    is_told = hold.cause in ("machine", "line error") and hold.reason
    return f" {hold.reason}" if is_told else ""


def _latch(latch: RemoteLatch, what_to_do: Mapping[str, str]) -> str:
    if latch.cause == "emergency stop":
        return f"an emergency stop by {latch} has latched the port; {_next(latch, what_to_do)}"
    what = _LATCHED.get(latch.cause, f"programs are refused ({latch.cause})")
    reason = f": {latch.reason}" if latch.reason else ""
    return f"{what} {_since(latch)}{reason}; {_next(latch, what_to_do)}"


def _waiting(hold: Hold) -> str:
    if not hold.waiting_bytes:
        return ""
    age_s = hold.waiting_age_s
    old = "" if age_s is None else f", up to {age_s:.1f} s old"
    return f", {hold.waiting_bytes} bytes wait{old}"


def _since(told: Hold | RemoteLatch) -> str:
    by = f" by {told.who}" if told.who and told.who != "the machine" else ""
    return f"since {told.at.astimezone():%H:%M:%S}{by}"


def _next(told: Hold | RemoteLatch, what_to_do: Mapping[str, str]) -> str:
    return what_to_do.get(told.release, "a newer usbshare-bridge may know how to continue it")


def _hold_fields(hold: Hold) -> dict[str, Any]:
    waiting = {"waiting_bytes": hold.waiting_bytes, "waiting_age_s": hold.waiting_age_s}
    return _common(hold) | waiting


def _common(told: Hold | RemoteLatch) -> dict[str, Any]:
    return {
        "cause": told.cause,
        "who": told.who,
        "since": told.at.isoformat(),
        "reason": told.reason,
        "continues": told.release,
        "hint": _next(told, _NEXT),
    }
