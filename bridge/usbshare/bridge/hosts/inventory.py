"""What all known hosts have, asked at the same time and within one time limit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from types import TracebackType
from typing import Self

from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.hosts.match_filter import (
    CAMERA,
    JOB,
    PORT,
    USB,
    Criterion,
    Facts,
    facts_of,
    facts_of_camera,
    facts_of_service,
    fits_all,
)
from usbshare.client.camera.messages import RemoteCamera
from usbshare.client.jobs.messages import RemoteJob
from usbshare.client.serial.messages import RemotePort
from usbshare.client.usb.messages import RemoteDevice
from usbshare.rpc.channel import DEFAULT_PORT, Target

MOST_AT_ONCE = 16

Place = tuple[str, int]  # a name, an address or a certificate, and the port


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host to ask: its name, and where its service may be, the best place first.

    `kind`: for its ports, cameras, jobs or USB devices, each of which are another service's.
    `is_guess`: nobody said that it has any.
    """

    name: str
    targets: tuple[Target, ...]
    aliases: tuple[str, ...] = ()
    kind: str = PORT
    is_guess: bool = False

    @classmethod
    def at(cls, target: Target) -> Self:
        """Return the host of a target, called as people call it."""
        is_usual = target.port == DEFAULT_PORT
        return cls(target.name or (target.host if is_usual else str(target)), (target,))

    @property
    def places(self) -> frozenset[Place]:
        """Names and addresses with the port: two hosts that share one are the same."""
        ports = {target.port for target in self.targets}
        named = {(alias.casefold(), port) for alias in self.aliases for port in ports}
        return frozenset(named | {(each.host.casefold(), each.port) for each in self.targets})

    @property
    def names(self) -> tuple[str, ...]:
        """Return everything that it is called, each once."""
        addresses = (target.host for target in self.targets)
        return tuple(dict.fromkeys((self.name, *self.aliases, *addresses)))

    def __str__(self) -> str:
        where = ", ".join(str(target) for target in self.targets)
        return where if self.name in {where, self.targets[0].host} else f"{self.name} ({where})"


@dataclass(frozen=True, slots=True)
class Item:
    """A port of a host, and where that host answered."""

    host: KnownHost
    target: Target
    port: RemotePort
    kind: str = PORT

    @property
    def facts(self) -> Facts:
        """What criteria look at."""
        return facts_of(self.port, self.host.names)


@dataclass(frozen=True, slots=True)
class CameraItem:
    """A camera of a host, and where that host answered."""

    host: KnownHost
    target: Target
    camera: RemoteCamera
    kind: str = CAMERA

    @property
    def facts(self) -> Facts:
        """What criteria look at."""
        return facts_of_camera(self.camera, self.host.names)


@dataclass(frozen=True, slots=True)
class JobServiceItem:
    """The job service of a host, and how many of its jobs are in which state."""

    host: KnownHost
    target: Target
    counts: Mapping[str, int]
    kind: str = JOB

    @property
    def state(self) -> str:
        """How many jobs there are that have not ended: `1 running, 2 queued`, or `idle`."""
        return ", ".join(f"{count} {state}" for state, count in self.counts.items()) or "idle"

    @property
    def facts(self) -> Facts:
        """What criteria look at."""
        return facts_of_service(JOB, self.state, self.host.names)


@dataclass(frozen=True, slots=True)
class UsbServiceItem:
    """The USB service of a host, and how many of its devices are in which state."""

    host: KnownHost
    target: Target
    counts: Mapping[str, int]
    kind: str = USB

    @property
    def state(self) -> str:
        """How many devices there are of each state: `2 available, 1 in use`, or `no device`."""
        return ", ".join(f"{count} {state}" for state, count in self.counts.items()) or "no device"

    @property
    def facts(self) -> Facts:
        """What criteria look at."""
        return facts_of_service(USB, self.state, self.host.names)


AnyItem = Item | CameraItem | JobServiceItem | UsbServiceItem


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service of a host has."""

    host: KnownHost
    target: Target
    ports: tuple[RemotePort, ...] = ()
    cameras: tuple[RemoteCamera, ...] = ()
    jobs: tuple[RemoteJob, ...] = ()
    devices: tuple[RemoteDevice, ...] = ()

    @property
    def ids(self) -> list[str]:
        """The ids of what it has."""
        jobs = (f"job {job.id}" for job in self.jobs)
        others = [*(each.id for each in self.cameras), *(each.id for each in self.devices)]
        return [*(port.id for port in self.ports), *others, *jobs]


@dataclass(frozen=True, slots=True)
class Failure:
    """A host that did not answer, and why."""

    host: KnownHost
    error: UsbshareError

    @property
    def reason(self) -> str:
        """Why, in words."""
        return str(self.error)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What was learnt of all known hosts; `foreign` are those of another site, not asked."""

    answers: tuple[Answer, ...] = ()
    failures: tuple[Failure, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def items(self) -> list[Item]:
        """Every port that the hosts have, by host and id."""
        found = [Item(each.host, each.target, port) for each in self.answers for port in each.ports]
        return sorted(found, key=lambda item: (item.host.name.casefold(), item.port.id))

    @property
    def cameras(self) -> list[CameraItem]:
        """Every camera that the hosts have, by host and id."""
        found = [
            CameraItem(each.host, each.target, camera)
            for each in self.answers
            for camera in each.cameras
        ]
        return sorted(found, key=lambda item: (item.host.name.casefold(), item.camera.id))

    @property
    def job_services(self) -> list[JobServiceItem]:
        """The job service of each host that has one, by host."""
        found = [
            JobServiceItem(each.host, each.target, Counter(job.state for job in each.jobs))
            for each in self.answers
            if each.host.kind == JOB
        ]
        return sorted(found, key=lambda item: item.host.name.casefold())

    @property
    def usb_services(self) -> list[UsbServiceItem]:
        """The USB service of each host that has one, by host."""
        found = [
            UsbServiceItem(each.host, each.target, Counter(one.state for one in each.devices))
            for each in self.answers
            if each.host.kind == USB
        ]
        return sorted(found, key=lambda item: item.host.name.casefold())

    def places_of(self, kind: str) -> dict[str, Target]:
        """Return where the hosts answered that have a service of that kind, by name."""
        return {each.host.name: each.target for each in self.answers if each.host.kind == kind}

    def matching(self, criteria: Iterable[Criterion]) -> list[Item]:
        """Return the ports for which all criteria hold."""
        wanted = tuple(criteria)
        return [item for item in self.items if fits_all(wanted, item.facts)]

    def all_matching(self, criteria: Iterable[Criterion]) -> list[AnyItem]:
        """Return the ports, the cameras, then the other services, of each host that fit."""
        wanted = tuple(criteria)
        everything: list[AnyItem] = [*self.items, *self.cameras]
        everything += [*self.job_services, *self.usb_services]
        found = [item for item in everything if fits_all(wanted, item.facts)]
        return sorted(found, key=lambda item: item.host.name.casefold())


def without_doubles(
    answers: Sequence[Answer], places: Mapping[KnownHost, frozenset[Place]]
) -> tuple[Answer, ...]:
    """Leave out a host that is, under another name, at the place of one before it.

    Two services of a computer may share a port number on different addresses: these have not the
    same ports and cameras.
    """
    kept: list[Answer] = []
    for answer in answers:
        own = places.get(answer.host, answer.host.places)
        doubles = (
            each
            for each in kept
            if not own.isdisjoint(places.get(each.host, each.host.places))
            and each.ids == answer.ids
        )
        if next(doubles, None) is None:
            kept.append(answer)
    return tuple(kept)


Ask = Callable[[KnownHost, float], Awaitable[Answer]]


@dataclass
class Survey:
    """Asks hosts as they become known, each once; `end` waits for the answers.

    `ask` raises UsbshareError where a host does not answer; it gets the seconds that it has.
    """

    ask: Ask
    timeout_s: float
    _tasks: dict[KnownHost, asyncio.Task[Answer | Failure]] = field(default_factory=dict)
    _places: set[Place] = field(default_factory=set)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))
    _waiting: int = 0
    _busy: int = 0
    _deadline: float = 0.0

    async def __aenter__(self) -> Self:
        self._deadline = asyncio.get_running_loop().time() + self.timeout_s
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await cancel_all(*self._tasks.values())

    @property
    def left_s(self) -> float:
        """Seconds until the time limit."""
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    def knows(self, host: KnownHost) -> bool:
        """Return whether that host, or one at the same place, is asked already."""
        return not self._places.isdisjoint(host.places)

    def knows_name(self, name: str, kind: str = PORT) -> bool:
        """Return whether a host that is called so is asked for its ports, or others, already."""
        folded = name.casefold()
        others = (other for other in self._tasks if other.kind == kind)
        return any(folded in map(str.casefold, other.names) for other in others)

    def begin(self, host: KnownHost) -> None:
        """Ask a host, unless it is asked already."""
        if self.knows(host):
            return
        self._waiting += 1
        self._places |= host.places
        self._tasks[host] = asyncio.create_task(self._asked(host), name=f"ask {host.name}")

    async def end(self) -> Inventory:
        """Wait for all answers, at most until the time limit."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=self.left_s)
        found = [self._result(host, task) for host, task in self._tasks.items()]
        return Inventory(
            tuple(each for each in found if isinstance(each, Answer)),
            tuple(each for each in found if isinstance(each, Failure) and not each.host.is_guess),
        )

    def _result(self, host: KnownHost, task: asyncio.Task[Answer | Failure]) -> Answer | Failure:
        if task.done():
            return task.result()
        return Failure(host, _silent(host, f"{self.timeout_s:g}"))

    async def _asked(self, host: KnownHost) -> Answer | Failure:
        async with self._slots:
            self._waiting, self._busy = self._waiting - 1, self._busy + 1
            share_s = self.left_s / self._rounds
            try:
                async with asyncio.timeout(share_s):
                    return await self.ask(host, share_s)
            except TimeoutError:
                return Failure(host, _silent(host, f"{share_s:.2g}"))
            except UsbshareError as error:
                return Failure(host, error)
            finally:
                self._busy -= 1

    @property
    def _rounds(self) -> int:
        """How often the slots are needed, so that dead hosts leave time for those that wait."""
        without_slot = max(0, self._waiting - (MOST_AT_ONCE - self._busy))
        return 1 + ceil(without_slot / MOST_AT_ONCE)


def _silent(host: KnownHost, seconds: str) -> UsbshareError:
    return ConnectionRefusedByPeerError(f"{host} did not answer within {seconds} s")
