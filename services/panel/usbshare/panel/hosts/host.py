"""A host as pages show it, and what follows its services."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from statistics import median
from typing import Protocol

from usbshare.base.watched_task import cancel_all
from usbshare.hosts.instance import USUAL_PORTS, Entry, Kind
from usbshare.hosts.targets import targets_of
from usbshare.panel.cameras.camera_follower import CameraFollower
from usbshare.panel.following import ServiceState, ServiceView, follow
from usbshare.panel.jobs.job_follower import JobFollower
from usbshare.panel.machines.machines import Machines
from usbshare.panel.machines.serial_follower import SerialFollower
from usbshare.panel.seen import SeenRights
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

ROUND_TRIPS = 5
# A service that nobody announced is looked for rarely.
GUESS_AGAIN_S = 15.0


class Service(Enum):
    """The services of a host that are followed."""

    SERIAL = "serial"
    CAMERA = "camera"
    JOB = "job"


_KINDS = {Service.SERIAL: Kind.SERIAL, Service.CAMERA: Kind.CAMERA, Service.JOB: Kind.JOB}


class Relation(Enum):
    """Whether a host belongs to this computer's site."""

    UNKNOWN = "unknown"
    OWN = "own"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class HostView:
    """Everything that pages show of a host; `age_s`: seconds since it was last seen."""

    key: str
    entry: Entry
    relation: Relation
    serial: ServiceView
    camera: ServiceView
    job: ServiceView
    round_trip_s: float | None
    rights: SeenRights | None
    is_added: bool
    age_s: float


class Followers(Protocol):
    """Makes what follows a host's services."""

    def serial(self, host: Host) -> SerialFollower:
        """Return what follows its serial service."""
        ...

    def camera(self, host: Host, connected: Callable[[Target], None]) -> CameraFollower:
        """Return what follows its cameras."""
        ...

    def job(self, host: Host, connected: Callable[[Target], None]) -> JobFollower:
        """Return what follows its jobs."""
        ...


@dataclass(eq=False)
class Host:
    """One host. It is followed between `start` and `stop`; `show` is called as it changes."""

    key: str
    entry: Entry
    relation: Relation
    machines: Machines
    show: Callable[[Host], None]
    followers: Followers
    is_added: bool = False
    was_connected: bool = False
    rights: SeenRights | None = None
    _services: dict[Service, ServiceView] = field(default_factory=dict)
    _round_trips: list[float] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _bundle: ClientBundle | None = None

    def __post_init__(self) -> None:
        self.serial = self.followers.serial(self)
        self.camera = self.followers.camera(self, partial(self._connected, Service.CAMERA))
        self.job = self.followers.job(self, partial(self._connected, Service.JOB))

    @property
    def is_followed(self) -> bool:
        """Whether its services are asked."""
        return bool(self._tasks)

    @property
    def is_connected(self) -> bool:
        """Whether its serial service answers."""
        return self._service(Service.SERIAL).state is ServiceState.CONNECTED

    def start(self, bundle: ClientBundle | None) -> None:
        """Follow its services, with this certificate; None in plaintext."""
        self._bundle = bundle
        work = (
            (Service.SERIAL, self._follow_serial, 0.0),
            (Service.CAMERA, self._follow_camera, GUESS_AGAIN_S),
            (Service.JOB, self._follow_jobs, GUESS_AGAIN_S),
        )
        self._services = {Service.SERIAL: ServiceView(ServiceState.CONNECTING)}
        for service, once, least_s in work:
            following = follow(once, partial(self._ended, service), least_s)
            name = f"{service.value} service of {self.key}"
            self._tasks.append(asyncio.create_task(following, name=name))

    async def use(self, bundle: ClientBundle | None) -> None:
        """Continue with this certificate; its machines stay known."""
        tasks, self._tasks = self._tasks, []
        await cancel_all(*tasks)
        self.start(bundle)

    async def stop(self) -> None:
        """Stop following them; removes its machines, cameras and jobs from the pages."""
        tasks, self._tasks = self._tasks, []
        await cancel_all(*tasks)
        self._services = dict.fromkeys(Service, ServiceView(ServiceState.NOT_ASKED))
        self.rights = None
        self.machines.rights_seen(self.key, None)
        self.machines.only(self.key, ())
        self.camera.clear()
        self.job.clear()

    def view(self, now: float) -> HostView:
        """Return it as pages show it; `now` on the catalogue's clock."""
        return HostView(
            self.key,
            self.entry,
            Relation.OWN if self.rights is not None and self._bundle else self.relation,
            self._service(Service.SERIAL),
            self._service(Service.CAMERA),
            self._service(Service.JOB),
            median(self._round_trips) if self._round_trips else None,
            self.rights,
            self.is_added,
            max(0.0, now - self.entry.last_seen),
        )

    # Events of the serial service's follower.

    def serial_connected(self, target: Target) -> None:
        """Note that the serial service answers."""
        self.was_connected = True
        self._connected(Service.SERIAL, target)

    def round_trip_measured(self, seconds: float) -> None:
        """Note a round trip, in seconds."""
        self._round_trips = [*self._round_trips[1 - ROUND_TRIPS :], seconds]
        self.show(self)

    def rights_seen(self, rights: SeenRights) -> None:
        """Note our rights there."""
        self.rights = rights
        self.machines.rights_seen(self.key, rights.who.rights)
        self.show(self)

    # Helpers.

    async def _follow_serial(self) -> None:
        await self.serial.run_once(self._targets(Kind.SERIAL), self._bundle)

    async def _follow_camera(self) -> None:
        await self.camera.run_once(self._maybe(Kind.CAMERA), self._bundle)

    async def _follow_jobs(self) -> None:
        await self.job.run_once(self._maybe(Kind.JOB), self._bundle)

    def _targets(self, kind: Kind) -> list[Target]:
        return targets_of(self.entry, self._bundle, kind)

    def _maybe(self, kind: Kind) -> Sequence[Target]:
        """Return the address of a service, or its usual one if it is not announced."""
        if told := self._targets(kind):
            return told
        place = self.serial.place
        known: Sequence[Target] = self._targets(Kind.SERIAL) if place is None else [place[0]]
        return [replace(target, port=USUAL_PORTS[kind]) for target in known]

    def _service(self, service: Service) -> ServiceView:
        return self._services.get(service, ServiceView())

    def _connected(self, service: Service, target: Target) -> None:
        view = ServiceView(ServiceState.CONNECTED, "", str(target))
        if self._service(service) != view:
            self._services[service] = view
            self.show(self)

    def _ended(self, service: Service, state: ServiceState, reason: str) -> None:
        before = self._service(service)
        if before.state is ServiceState.NONE and not self._is_told(service):
            return  # it was not announced
        self._services[service] = ServiceView(state, reason, before.target)
        if service is Service.CAMERA:
            self.camera.clear()
        elif service is Service.JOB:
            self.job.clear()
        self.show(self)

    def _is_told(self, service: Service) -> bool:
        return self.entry.instance.port_of(_KINDS[service]) is not None
