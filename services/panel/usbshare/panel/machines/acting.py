"""Stops and other calls that act on a machine at once, over a connection kept open for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.client.serial.messages import ResetReport
from usbshare.client.serial.stop_report import SeenHold, StopReport
from usbshare.client.serial.warm_stops import WarmStops
from usbshare.line.stop_actions import StopAction
from usbshare.panel.machines.machine_view import MachineKey

# For how long real-time bytes still make sense.
REALTIME_S = 5.0


class Ways(Protocol):
    """Where the way to a host's machines is."""

    @property
    def stops(self) -> WarmStops | None:
        """What is kept open; None before the host has answered."""
        ...

    def look_at_rights(self) -> None:
        """Ask the host for our rights now."""


@dataclass(frozen=True, slots=True)
class Acting:
    """Stops, resumes, re-arms and resets machines; `way` finds a host's way by its key."""

    way: Callable[[str], Ways]

    async def stop(
        self, key: MachineKey, action: StopAction, reason: str, seen: SeenHold | None = None
    ) -> StopReport:
        """Stop a machine, or resume it from the hold that was seen; raises UsbshareError."""
        ways = self.way(key[0])
        try:
            async with self._stops(ways, key[0]).client() as client:
                return await client.stop(key[1], action, reason, seen=seen)
        except UsbshareError:
            ways.look_at_rights()
            raise

    async def rearm(self, key: MachineKey, epoch: int) -> int:
        """Release the latch that was seen; returns the epoch in force."""
        ways = self.way(key[0])
        async with self._stops(ways, key[0]).client() as client:
            return await client.rearm(key[1], epoch)

    async def reset(self, key: MachineKey, line: str, reason: str) -> ResetReport:
        """Reset a machine, by a pulse of `dtr` or `rts` if one is named."""
        ways = self.way(key[0])
        async with self._stops(ways, key[0]).client() as client:
            return await client.reset(key[1], line, reason)

    async def realtime(self, key: MachineKey, data: bytes, session_id: str = "") -> None:
        """Write real-time bytes ahead of every queue."""
        ways = self.way(key[0])
        async with self._stops(ways, key[0]).client() as client:
            await client.send_realtime(key[1], data, session_id, REALTIME_S)

    async def request_control(self, key: MachineKey, name: str) -> bool:
        """Ask the holder of a port for control; returns whether the holder was notified now."""
        ways = self.way(key[0])
        async with self._stops(ways, key[0]).client() as client:
            return await client.request_control(key[1], name)

    @staticmethod
    def _stops(ways: Ways, host: str) -> WarmStops:
        if ways.stops is None:
            raise ConnectionRefusedByPeerError(f"host {host!r} has not answered yet")
        return ways.stops
