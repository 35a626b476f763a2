"""Which devices the hosts have, asked all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from usbshare.base.errors import NotFoundError, UsbshareError
from usbshare.client.usb.client import UsbClient
from usbshare.client.usb.messages import AVAILABLE, RemoteDevice
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle


@dataclass(frozen=True, slots=True)
class Found:
    """A device and the host that has it."""

    host: str
    target: Target
    device: RemoteDevice

    def matches(self, text: str) -> bool:
        """Return whether a text is part of its id, name or host, or a pattern of one of them."""
        wanted = text.casefold()
        facts = [each.casefold() for each in (self.device.id, self.device.name, self.host)]
        return any(wanted in each or fnmatchcase(each, wanted) for each in facts)


@dataclass(frozen=True, slots=True)
class Survey:
    """The devices of the hosts that answered, how many did, and why the others did not."""

    found: Sequence[Found]
    failures: Mapping[str, UsbshareError]
    answered: int


async def survey(
    hosts: Mapping[str, Target], bundle: ClientBundle | None, timeout_s: float
) -> Survey:
    """Ask all hosts at once."""
    answers = await asyncio.gather(
        *(_devices(target, bundle, timeout_s) for target in hosts.values()), return_exceptions=True
    )
    found, failures = [], {}
    for (host, target), answer in zip(hosts.items(), answers, strict=True):
        if isinstance(answer, UsbshareError):
            failures[host] = answer
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found += [Found(host, target, each) for each in answer]
    return Survey(found, failures, len(hosts) - len(failures))


def choose(found: Sequence[Found], device_id: str, match: str, *, first: bool) -> Found:
    """Return the one device that matches; NotFoundError names those there are."""
    meant = [
        each
        for each in found
        if (not device_id or each.device.id.casefold() == device_id.casefold())
        and (not match or each.matches(match))
    ]
    free = [each for each in meant if each.device.state == AVAILABLE]
    if len(meant) == 1:
        return meant[0]
    if len(free) == 1 or (free and first):
        return free[0]
    what = device_id or match or "device"
    if not meant:
        there = ", ".join(f"{each.device.id} of {each.host}" for each in found) or "none"
        raise NotFoundError(f"no device matches '{what}'; there is: {there}")
    names = ", ".join(f"{each.device.id} of {each.host}" for each in free or meant)
    raise NotFoundError(f"several devices match '{what}': {names}: name one, or give --first")


async def _devices(
    target: Target, bundle: ClientBundle | None, timeout_s: float
) -> list[RemoteDevice]:
    client = UsbClient(target, bundle)
    try:
        return await client.list_devices(timeout_s)
    finally:
        await client.close()
