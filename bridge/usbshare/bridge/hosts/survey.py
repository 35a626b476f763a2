"""Asks the hosts that are configured, found now, or were used last; none need be named."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from usbshare.base.addresses import join_host_port, parse_address
from usbshare.base.errors import UsbshareError
from usbshare.base.usual_ports import CAMERA_PORT, JOB_PORT, USB_PORT
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.hosts.inventory import (
    Answer,
    Inventory,
    KnownHost,
    Place,
    Survey,
    without_doubles,
)
from usbshare.bridge.hosts.match_filter import CAMERA, JOB, PORT, USB
from usbshare.bridge.hosts.name_lookup import open_finder
from usbshare.client.camera.client import CameraClient
from usbshare.client.jobs.client import JobClient
from usbshare.client.jobs.place import job_place
from usbshare.client.serial.client import SerialClient
from usbshare.client.usb.client import UsbClient
from usbshare.client.usb.place import usb_place
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.host_selection import addresses_of
from usbshare.hosts.identity_proof import first_proven
from usbshare.hosts.instance import Entry, Kind, Source
from usbshare.hosts.places import place_of
from usbshare.hosts.targets import sites_of, targets_of
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

if TYPE_CHECKING:
    from usbshare.bridge.settings import Settings
    from usbshare.client.camera.messages import RemoteCamera
    from usbshare.client.jobs.messages import RemoteJob
    from usbshare.client.usb.messages import RemoteDevice

MDNS_LISTEN_S = 1.0
BEACON_MARGIN_S = 0.5
NEXT_ADDRESS_S = 0.25
_MOST_ADDRESSES = 4
_ASKED = {PORT: Kind.SERIAL, CAMERA: Kind.CAMERA, JOB: Kind.JOB, USB: Kind.USB}
EVERYTHING = frozenset(_ASKED)
# It is not known whether there is such a service: a silent host is not waited for.
GUESS_S = 1.0


async def survey_all(
    settings: Settings,
    used_before: Iterable[Target],
    bundle: ClientBundle | None,
    timeout_s: float,
    kinds: Collection[str] = EVERYTHING,
) -> Inventory:
    """Ask every host that is known or turns up for what it has of these kinds, within the time."""
    async with Survey(partial(ask, bundle=bundle), timeout_s) as survey:
        async with open_finder(settings, bundle) as finder:
            listening = asyncio.timeout(min(timeout_s / 2, _listen_s(settings)))
            with suppress(TimeoutError):
                async with listening:
                    await _follow(finder.catalogue, survey, bundle, kinds)
            foreign = _not_ours(finder.catalogue.entries(), bundle, kinds)
        asked = PORT if PORT in kinds else next(iter(kinds))
        for target in used_before:
            if not survey.knows_name(target.name or target.host, asked):
                for host in (KnownHost.at(target), *_guesses(target)):
                    if host.kind in kinds:
                        survey.begin(host)
        found = await survey.end()
    answers = without_doubles(found.answers, await _places(found.answers, bundle))
    return replace(found, answers=answers, foreign=foreign)


async def survey_one(
    target: Target, bundle: ClientBundle | None, timeout_s: float, camera_port: int = 0
) -> Inventory:
    """Ask one host; raises UsbshareError when its serial service does not answer.

    `camera_port` is where its camera service is; 0 if unknown.
    """
    guesses = [
        asyncio.create_task(ask(each, timeout_s, bundle), name="guess")
        for each in _guesses(target, camera_port)
    ]
    try:
        answers = [await ask(KnownHost.at(target), timeout_s, bundle)]
        for guess in guesses:
            with suppress(TimeoutError, UsbshareError):
                answers.append(await guess)
        return Inventory(tuple(answers))
    finally:
        await cancel_all(*guesses)


async def ask(host: KnownHost, timeout_s: float, bundle: ClientBundle | None) -> Answer:
    """Return what the host has, from the first of its addresses that answers.

    Raises UsbshareError, for a guess TimeoutError too.
    """
    if not host.is_guess:
        return await _ask(host, timeout_s, bundle)
    if (place_of := _PLACES.get(host.kind)) is not None:
        host = replace(host, targets=(await place_of(host.targets[0], bundle),))
    async with asyncio.timeout(GUESS_S):
        return await _ask(host, GUESS_S, bundle)


async def _ask(host: KnownHost, timeout_s: float, bundle: ClientBundle | None) -> Answer:
    attempts = [
        asyncio.create_task(_ask_at(host, target, index, timeout_s, bundle), name=f"ask {target}")
        for index, target in enumerate(host.targets[:_MOST_ADDRESSES])
    ]
    failures: list[UsbshareError] = []
    try:
        for attempt in asyncio.as_completed(attempts):
            try:
                return await attempt
            except UsbshareError as error:
                failures.append(error)
    finally:
        await cancel_all(*attempts)
    raise failures[0]


def is_foreign(entry: Entry, sites: Collection[str]) -> bool:
    """Return whether a host itself claims a site that is not ours; without a certificate, any."""
    if Source.STATIC in entry.sources:
        return False
    if not sites:
        return entry.instance.tls
    return entry.instance.site not in {"", *sites}


async def _ask_at(
    host: KnownHost, target: Target, index: int, timeout_s: float, bundle: ClientBundle | None
) -> Answer:
    await asyncio.sleep(index * NEXT_ADDRESS_S)  # RFC 8305: the best address has a head start
    if bundle is not None and target.name and parse_address(target.host) is not None:
        # Its certificate may not know an address that it got since; that it is ours must do.
        target = await first_proven((target,), bundle) or target
    left_s = max(NEXT_ADDRESS_S, timeout_s - index * NEXT_ADDRESS_S)
    if host.kind == CAMERA:
        return Answer(host, target, cameras=await _cameras_of(target, bundle, left_s))
    if host.kind == JOB:
        return Answer(host, target, jobs=await _jobs_of(target, bundle, left_s))
    if host.kind == USB:
        return Answer(host, target, devices=await _devices_of(target, bundle, left_s))
    client = SerialClient(target, bundle)
    try:
        return Answer(host, target, tuple(await client.list_ports(left_s)))
    finally:
        await client.close()


async def _cameras_of(
    target: Target, bundle: ClientBundle | None, timeout_s: float
) -> tuple[RemoteCamera, ...]:
    client = CameraClient(target, bundle)
    try:
        return tuple(await client.list_cameras(timeout_s))
    finally:
        await client.close()


async def _jobs_of(
    target: Target, bundle: ClientBundle | None, timeout_s: float
) -> tuple[RemoteJob, ...]:
    client = JobClient(target, bundle)
    try:
        return tuple(await client.list_jobs(timeout_s=timeout_s))
    finally:
        await client.close()


async def _devices_of(
    target: Target, bundle: ClientBundle | None, timeout_s: float
) -> tuple[RemoteDevice, ...]:
    client = UsbClient(target, bundle)
    try:
        return tuple(await client.list_devices(timeout_s))
    finally:
        await client.close()


# Where a service is whose port nobody said.
_PLACES = {JOB: job_place, USB: usb_place}


def _guesses(target: Target, camera_port: int = 0) -> list[KnownHost]:
    """Return where the others are of a host of which only the serial service is known."""
    host = KnownHost.at(target)
    ports = {CAMERA: camera_port or CAMERA_PORT, JOB: JOB_PORT, USB: USB_PORT}
    return [
        replace(host, targets=(replace(target, port=port),), kind=kind, is_guess=True)
        for kind, port in ports.items()
    ]


async def _follow(
    catalogue: Catalogue,
    survey: Survey,
    bundle: ClientBundle | None,
    kinds: Collection[str] = EVERYTHING,
) -> None:
    """Ask each host of ours as it becomes known; never returns."""
    changed = asyncio.Event()
    unsubscribe = catalogue.subscribe(changed.set)
    sites = sites_of(bundle)
    try:
        while True:
            changed.clear()
            for entry in catalogue.entries():
                if not is_foreign(entry, sites):
                    for host in _services_of(entry, bundle, kinds):
                        survey.begin(host)
            await changed.wait()
    finally:
        unsubscribe()


def _services_of(
    entry: Entry, bundle: ClientBundle | None, kinds: Collection[str] = EVERYTHING
) -> list[KnownHost]:
    """Return the host once for each kind, as far as it has such a service."""
    aliases = (entry.instance.host,) if entry.instance.host else ()
    found = (
        KnownHost(entry.instance.name, tuple(targets_of(entry, bundle, kind)), aliases, name)
        for name, kind in _ASKED.items()
        if name in kinds
    )
    return [each for each in found if each.targets]


def _not_ours(
    entries: Iterable[Entry], bundle: ClientBundle | None, kinds: Collection[str] = EVERYTHING
) -> tuple[str, ...]:
    """Name the hosts that have services of these kinds, but none for us."""
    sites = sites_of(bundle)
    asked = [kind for name, kind in _ASKED.items() if name in kinds]
    return tuple(
        f"{entry.instance.name} ({join_host_port(*places[0])})"
        for entry in entries
        if (places := next(filter(None, (addresses_of(entry, kind) for kind in asked)), None))
        and (is_foreign(entry, sites) or not _services_of(entry, bundle, kinds))
    )


def _listen_s(settings: Settings) -> float:
    """Return how long to wait for everybody: mDNS answers when asked, a beacon when it is due."""
    if not settings.discovery.beacon:
        return MDNS_LISTEN_S if settings.discovery.mdns else 0.0
    return max(MDNS_LISTEN_S, settings.discovery.beacon_interval_s + BEACON_MARGIN_S)


async def _places(
    answers: Iterable[Answer], bundle: ClientBundle | None
) -> dict[KnownHost, frozenset[Place]]:
    """Return where each host is, by addresses and certificate."""
    known = list(answers)
    if len(known) < 2:
        return {}
    found = await asyncio.gather(*(place_of([each.target], bundle) for each in known))
    return {
        each.host: each.host.places
        | {(text, each.target.port) for text in (*place.addresses, place.certificate) if text}
        for each, place in zip(known, found, strict=True)
    }
