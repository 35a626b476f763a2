"""What the services of a host said, read for our own use, with the message for the pages beside it.

A message is protobuf's; only `panel.api` looks into one.
"""

from __future__ import annotations

from dataclasses import dataclass

from usbshare.client.access import WhoAmI
from usbshare.client.serial.machine import MachineStatus
from usbshare.client.serial.messages import RemotePort


@dataclass(frozen=True, slots=True)
class SeenPort:
    """A port; `holder_session` is the session that controls it, empty for none."""

    port: RemotePort
    holder_session: str
    message: object


@dataclass(frozen=True, slots=True)
class SeenMachine:
    """What a machine reported."""

    status: MachineStatus
    message: object


@dataclass(frozen=True, slots=True)
class SeenRights:
    """What this computer may do at a service."""

    who: WhoAmI
    message: object


@dataclass(frozen=True, slots=True)
class SeenCamera:
    """A camera."""

    id: str
    message: object


@dataclass(frozen=True, slots=True)
class SeenJob:
    """A job; `has_ended`: it is shown no longer."""

    id: int
    port_id: str
    has_ended: bool
    message: object
