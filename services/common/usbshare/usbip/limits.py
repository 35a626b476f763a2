"""Bounds on what the other side sends, checked before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection; the defaults fit every device that a Linux driver serves.

    The largest transfers are those of disks (1 MiB); `in_flight_bytes` bounds what transfers
    that are not yet answered hold, whichever way their data goes.
    """

    transfer_bytes: int = 1 << 20
    iso_packets: int = 1024  # USBIP_MAX_ISO_PACKETS of the kernel
    devices: int = 256
    interfaces: int = 32
    in_flight: int = 1024
    in_flight_bytes: int = 16 << 20


DEFAULT_LIMITS = Limits()
