"""How a held or latched machine is described in the panel, with what to do there. Pure."""

from __future__ import annotations

from usbshare.base.errors import PortLatchedError, WrongStateError
from usbshare.client.serial import port_condition
from usbshare.client.serial.messages import RemotePort

_REARM = "Re-arm on the machine's page lets programs in again"
_WHAT_TO_DO = {
    "resume": "Resume on the machine's page continues it",
    "rearm": _REARM,
    "rearm or reset": _REARM,
    "machine": "clear it at the machine: its door, its button, Unlock or Home",
}


def described(port: RemotePort) -> str:
    """Return what is held or latched, by whom and since when; empty where all is well."""
    return port_condition.described(port, _WHAT_TO_DO)


def news(port: RemotePort) -> str:
    """Return it as news, also that nothing is held any more."""
    return described(port) or "nothing is held now"


def why_fenced(port: RemotePort) -> str:
    """Return why the port discarded the current work."""
    return port_condition.why_fenced(port, _WHAT_TO_DO)


def require_unlatched(port: RemotePort) -> None:
    """Raise PortLatchedError where the port refuses programs."""
    if port.latched:
        raise PortLatchedError(described(port))


def require_released(port: RemotePort) -> None:
    """Raise if the machine must not get any work: latched, or held.

    A held machine would keep a line, and execute it after a resume. In alarm it refuses what it
    must, and needs lines to clear the alarm.
    """
    require_unlatched(port)
    if port.hold is not None and port.hold.cause != "alarm":
        raise WrongStateError(described(port))
