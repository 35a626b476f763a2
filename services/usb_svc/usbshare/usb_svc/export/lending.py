"""Lends each device to one client at a time, unless a program of the host uses it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from usbshare.authorization.devices import DevicePolicy
from usbshare.base.errors import (
    DeviceAbsentError,
    NotFoundError,
    PortHeldError,
    WrongStateError,
)
from usbshare.base.threads import OwnThread
from usbshare.line.usb.device import DeviceSelector
from usbshare.usb_svc.devices.disks import CLAIMED, is_claimed
from usbshare.usb_svc.devices.host_device import HostDevice, ids_of
from usbshare.usb_svc.devices.judgement import HOST, HostRules, State, judge
from usbshare.usb_svc.devices.nodes import interface_nodes
from usbshare.usb_svc.devices.sysfs import folder_of, list_devices
from usbshare.usb_svc.devices.users import Users
from usbshare.usb_svc.export.loan_notes import LentDevice, LoanNotes
from usbshare.usb_svc.export.usbip_host import UsbipHost
from usbshare.usb_svc.settings import Places

_log = logging.getLogger(__name__)

LOOK_S = 1.0
TAKE_BACK_S = 10.0


@dataclass(frozen=True, slots=True)
class OfferedDevice:
    """A device as clients see it; `reason`: who has it, or why it is not lent."""

    id: str
    device: HostDevice
    state: State
    reason: str = ""
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Loan:
    """A device that is lent: `end` is the client's end of what the kernel says of it."""

    device: OfferedDevice
    end: socket.socket


class Lending:
    """The devices and their holders; of one event loop, the kernel's files in a thread."""

    def __init__(
        self,
        places: Places,
        host: UsbipHost,
        notes: LoanNotes,
        listed: Sequence[DeviceSelector] | None,
        policy: Callable[[], DevicePolicy],
    ) -> None:
        self._places = places
        self._listed = listed
        self._policy = policy
        self._host = host
        self._notes = notes
        self._thread = OwnThread("usbip-host")
        self._found: dict[str, tuple[HostDevice, State, str]] = {}
        self._holders: dict[str, tuple[HostDevice, str]] = {}
        self._changed = asyncio.Event()

    @property
    def devices(self) -> list[OfferedDevice]:
        """The devices as last seen, sorted by id; a device that is lent stays listed."""
        found = dict(self._found)
        for device_id, (device, _) in self._holders.items():
            found[device_id] = (device, State.ATTACHED, "")
        return [self._offered(each, *found[each]) for each in sorted(found)]

    async def look(self) -> None:
        """Read the list of devices again."""
        found = await self._thread.run(self._read)
        if found != self._found:
            self._found = found
            self._news()

    async def follow(self) -> None:
        """Poll until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def news(self) -> None:
        """Wait for a change."""
        await self._changed.wait()

    async def take_back_left_over(self) -> None:
        """Free the devices lent by a killed service, and none that others bound."""
        await self._thread.run(self._free_left_over)

    @asynccontextmanager
    async def lend(self, device_id: str, holder: str) -> AsyncIterator[Loan]:
        """Lend a device while the body lasts.

        Raises NotFoundError, PortHeldError with the holder's name, WrongStateError where the host
        does not lend it, DeviceError.
        """
        self._require_free(device_id)
        await self.look()
        offered = self._require_free(device_id)
        ours, kernels = socket.socketpair()
        ours.setblocking(False)
        self._holders[device_id] = (offered.device, holder)
        self._news()
        lent = self._thread.submit(self._give, offered, ours, kernels)
        lent.add_done_callback(lambda done: _given(done, kernels))
        try:
            await asyncio.shield(lent)  # else a cancelled client closes what the thread still uses
            yield Loan(self._offered(device_id, offered.device, State.ATTACHED, ""), ours)
        finally:
            ours.close()
            taken = self._thread.submit(self._take_back, offered.device)
            taken.add_done_callback(lambda done: self._freed(device_id, done))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TAKE_BACK_S):
                    await asyncio.shield(taken)

    async def close(self) -> None:
        """Return once every device is given back, after 10 s at the latest; no more are lent.

        gRPC waits for no handler whose client has gone, and it may be giving a device back.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TAKE_BACK_S):
                while self._holders:
                    await self.news()
        self._thread.close()

    def _require_free(self, device_id: str) -> OfferedDevice:
        offered = next((each for each in self.devices if each.id == device_id), None)
        if offered is None:
            raise NotFoundError(f"there is no USB device '{device_id}' here")
        if offered.state is State.ATTACHED:
            raise PortHeldError(f"USB device '{device_id}' is attached by {offered.holder}")
        _require_lendable(device_id, offered.state, offered.reason)
        return offered

    def _offered(
        self, device_id: str, device: HostDevice, state: State, reason: str
    ) -> OfferedDevice:
        _, holder = self._holders.get(device_id, (device, ""))
        return OfferedDevice(device_id, device, state, reason or holder, holder)

    def _read(self) -> dict[str, tuple[HostDevice, State, str]]:
        devices, users = ids_of(self._all()), self._users()
        return {each: (device, *self._judged(device, users)) for each, device in devices.items()}

    def _users(self) -> Users:
        return Users(self._places.proc, self._places.sys)

    def _all(self) -> tuple[HostDevice, ...]:
        return list_devices(self._places.sys)

    def _give(self, offered: OfferedDevice, ours: socket.socket, kernels: socket.socket) -> None:
        if ours.fileno() < 0:
            return  # the client went while this waited for the thread
        device = offered.device
        self._take_back(device)  # where that failed after the last loan
        self._require_unchanged(offered)
        if not self._host.has(device.busid):
            self._notes.write(device)
        self._host.lend(device.busid, kernels.fileno())

    def _require_unchanged(self, offered: OfferedDevice) -> None:
        """Raise if the device went or was taken while others' resets kept the thread."""
        seen = offered.device
        device = next((each for each in self._all() if each.busid == seen.busid), None)
        # One that was plugged in again has another number, which the client was not told.
        if device is None or not _is_same(device, seen):
            raise DeviceAbsentError(f"USB device '{offered.id}' was unplugged")
        _require_lendable(offered.id, *self._judged(device, self._users()))
        folder = folder_of(device.busid, self._places.sys).resolve()
        if is_claimed(interface_nodes(folder), self._places.proc):
            _require_lendable(offered.id, State.IN_USE, CLAIMED)

    def _take_back(self, device: HostDevice) -> None:
        """Give back what this service bound; the note stays until that is done."""
        if not self._notes.has(device):
            return
        self._host.take_back(device.busid)
        if not self._host.has(device.busid):
            self._notes.remove(device.busid)

    def _free_left_over(self) -> None:
        there = {LentDevice.of(each): each for each in self._all()}
        for lent in self._notes.noted:
            device = there.get(lent)
            # Without a driver: the service was killed when it had taken the device from its own.
            if device is not None and device.driver in (HOST, ""):
                self._take_back(device)
                _log.warning("freed %s, which was lent when the service was killed", lent.busid)
            else:  # unplugged, or another device is there, bound by others
                self._notes.remove(lent.busid)

    def _judged(self, device: HostDevice, users: Users) -> tuple[State, str]:
        rules = HostRules(self._policy(), self._listed)
        is_ours = self._notes.has(device)
        return judge(device, rules, users, self._places.sys, is_ours=is_ours)

    def _freed(self, device_id: str, done: asyncio.Future[None]) -> None:
        del self._holders[device_id]
        if not done.cancelled() and (error := done.exception()) is not None:
            _log.error("USB device '%s' could not be returned to its driver: %s", device_id, error)
        self._news()

    def _news(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _is_same(device: HostDevice, seen: HostDevice) -> bool:
    return device.devnum == seen.devnum and LentDevice.of(device) == LentDevice.of(seen)


def _require_lendable(device_id: str, state: State, reason: str) -> None:
    if state is State.IN_USE:
        raise PortHeldError(f"USB device '{device_id}' is held by {reason}")
    if state is State.REFUSED:
        raise WrongStateError(f"USB device '{device_id}' is not lent: {reason}")


def _given(done: asyncio.Future[None], kernels: socket.socket) -> None:
    """Close what the kernel has its own reference to; an error of a client that went is no news."""
    kernels.close()
    if not done.cancelled():
        done.exception()
