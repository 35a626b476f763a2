"""A whole host in the test's own process: all three services, guarded as they are for people."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.cameras import FakeCamera, jpeg_of
from fakes.certificates import make_site
from fakes.discovery_served import QUIET
from fakes.usb_sysfs import FakeUsbipHost, UsbSysfs
from usbshare.audit.settings import AuditTable
from usbshare.authorization.gate import DISCOVERY
from usbshare.authorization.rights import ResourceKind
from usbshare.base.background_writer import Background
from usbshare.base.service_settings import TlsTable
from usbshare.camera_svc.api.servicer import CameraServicer, add_to_server
from usbshare.camera_svc.capture.camera import CameraConfig
from usbshare.camera_svc.capture.registry import Registry as Cameras
from usbshare.camera_svc.service import make_encoding
from usbshare.discovery.v1.discovery_pb2_grpc import add_DiscoveryServiceServicer_to_server
from usbshare.discovery_svc.announcer import Announcer
from usbshare.discovery_svc.api.convert import InstanceWriter
from usbshare.discovery_svc.api.servicer import DiscoveryServicer
from usbshare.discovery_svc.registrations import Registrations
from usbshare.hosts.finder import Finder
from usbshare.hosts.instance import Endpoint, Instance, Kind
from usbshare.job.v1.job_pb2_grpc import add_JobServiceServicer_to_server
from usbshare.job_svc.api.servicer import JobServicer
from usbshare.job_svc.queue.jobs import Order
from usbshare.job_svc.run.analyses import Analyses
from usbshare.job_svc.run.condition import Condition
from usbshare.job_svc.run.ports import Ports as PortsOfJobs
from usbshare.job_svc.run.runner import Runner
from usbshare.job_svc.run.serial_link import SerialLink
from usbshare.job_svc.run.spool import Spool
from usbshare.job_svc.storage.database import JobDatabase
from usbshare.job_svc.storage.files import FileStore
from usbshare.job_svc.storage.job import Person, StoredFile
from usbshare.job_svc.storage.notes import JobNotes
from usbshare.line.profiles import GRBL
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import ClientBundle, server_credentials
from usbshare.serial.v1.serial_pb2_grpc import add_SerialServiceServicer_to_server
from usbshare.serial_svc.api.servicer import SerialServicer
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.registry import Registry as Ports
from usbshare.service.guard import Guard, open_guard
from usbshare.trust import certificates
from usbshare.trust.issuance import issue_for
from usbshare.trust.signing_requests import new_request
from usbshare.trust.site import Site
from usbshare.usb.v1.usb_pb2_grpc import add_UsbServiceServicer_to_server
from usbshare.usb_svc.api.servicer import UsbServicer
from usbshare.usb_svc.export.lending import Lending
from usbshare.usb_svc.export.loan_notes import LoanNotes
from usbshare.usb_svc.export.totals import Totals

USB_SERIALS = ("A5", "A6")
USB_LINK_TIMEOUT_S = 1.0
NO_ENROLMENT = TlsTable(enrolment="")


@dataclass
class GuardedHost:
    """The running services, and a channel to each for each identity that is asked for."""

    site: Site
    ports: Ports
    cameras: Cameras
    guards: dict[str, Guard] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    channels: dict[tuple[str, str], grpc.aio.Channel] = field(default_factory=dict)
    bundles: dict[str, ClientBundle] = field(default_factory=dict)
    usb: FakeUsbipHost = field(init=False)
    usb_totals: Totals = field(default_factory=Totals)
    tls: TlsTable = NO_ENROLMENT

    def bundle(self, name: str) -> ClientBundle:
        """Return a certificate of the site for an identity, issued at first use."""
        if name not in self.bundles:
            path = self.site.folder / f"{name}.pem"
            write_bundle(self.site, name, path)
            self.bundles[name] = ClientBundle.load(path)
        return self.bundles[name]

    def channel(self, service: str, name: str) -> grpc.aio.Channel:
        """Return an identity's channel to a service."""
        key = (service, name)
        if key not in self.channels:
            self.channels[key] = open_channel(self.targets[service], self.bundle(name))
        return self.channels[key]

    def write_policy(self, text: str) -> None:
        """Put another policy into force."""
        (self.site.folder / "policy.toml").write_text(text, encoding="utf-8")


def write_bundle(site: Site, name: str, path: Path) -> Path:
    """Write a bundle for an identity of the site."""
    key = certificates.new_key()
    uri = f"usbshare://{site.id}/{name}"
    issued = issue_for(site, uri, new_request(key, name), datetime.now(UTC))
    path.touch(mode=0o600)
    path.write_bytes(
        certificates.key_pem(key)
        + certificates.certificate_pem(issued)
        + site.ca_certificate.read_bytes()
    )
    return path


@asynccontextmanager
async def guarded_host(
    folder: Path, policy: str, tls: TlsTable = NO_ENROLMENT
) -> AsyncIterator[GuardedHost]:
    """Serve ports `laser` and `mill`, cameras `bed` and `door`, discovery, jobs and USB devices.

    Under a policy.

    Job 1 is of `laser`, job 2 of `mill`.
    """
    with _home(folder):
        site = make_site(folder)
        encoding = make_encoding()
        host = GuardedHost(site, Ports(time.monotonic), Cameras(encoding), tls=tls)
        host.write_policy(policy)
        for name in ("laser", "mill"):
            host.ports.add(PortConfig(name, "sim://grbl", profile=GRBL))
        for name in ("bed", "door"):
            config = CameraConfig(name, name, "fake://", linger_s=0.0)
            host.cameras.add(config, FakeCamera(jpeg_of()).make)
        async with AsyncExitStack() as stack:
            await _serve_serial(host, stack)
            await _serve_cameras(host, stack)
            await _serve_discovery(host, stack)
            await _serve_jobs(host, stack)
            await _serve_usb(host, stack)
            yield host
            await asyncio.gather(*(channel.close() for channel in host.channels.values()))
            await asyncio.gather(host.ports.close(), host.cameras.close())
        await asyncio.to_thread(encoding.executor.shutdown)


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USBSHARE_HOME", str(folder))
        yield


async def _serve_serial(host: GuardedHost, stack: AsyncExitStack) -> None:
    guard = await _guard(host, "serial-svc", stack)
    guard.invites(lambda: host.targets["serial"].port, ())
    guard.offers(ResourceKind.PORT, lambda: [port.id for port in host.ports.ports])
    guard.rulebook.subscribe(host.ports.rules_changed)
    server = make_server(guard.interceptors)
    add_SerialServiceServicer_to_server(SerialServicer(host.ports, guard.gate), server)
    await _start(host, guard, "serial", server, stack)


async def _serve_cameras(host: GuardedHost, stack: AsyncExitStack) -> None:
    guard = await _guard(host, "camera-svc", stack)
    guard.offers(ResourceKind.CAMERA, lambda: [each.id for each in host.cameras.cameras])
    server = make_server(guard.interceptors)
    add_to_server(CameraServicer(host.cameras, guard.gate, guard.audit), server)
    await _start(host, guard, "camera", server, stack)


async def _serve_discovery(host: GuardedHost, stack: AsyncExitStack) -> None:
    guard = await _guard(host, DISCOVERY, stack)
    bundle = ClientBundle.load(host.site.host_bundle)
    finder = await stack.enter_async_context(Finder(QUIET, {}, bundle, time.monotonic))
    own = Instance("own", (), (Endpoint(Kind.DISCOVERY, 1),), site=host.site.fingerprint)
    announcer = Announcer(own, ["127.0.0.1"], finder.catalogue)
    await announcer.start()
    _run(announcer.run(None, None), stack)
    servicer = DiscoveryServicer(
        finder,
        Registrations(time.monotonic, announcer.offered),
        InstanceWriter(host.site.fingerprint, time.time() - time.monotonic()),
        lambda: announcer.name,
        guard.gate,
    )
    server = make_server(guard.interceptors)
    add_DiscoveryServiceServicer_to_server(servicer, server)
    stack.push_async_callback(servicer.close)
    await _start(host, guard, "discovery", server, stack)


async def _serve_jobs(host: GuardedHost, stack: AsyncExitStack) -> None:
    guard = await _guard(host, "job-svc", stack)
    folder = host.site.folder / "jobs"
    spool = await _spool(folder, stack)
    link = SerialLink(host.targets["serial"], host.site)
    await link.prepare()
    stack.push_async_callback(link.close)
    ports = PortsOfJobs(link.list_ports, lambda: {each.port_id for each in spool.jobs.all})
    await ports.look()
    guard.offers(ResourceKind.PORT, lambda: ports.ids)
    guard.offers_jobs(spool.port_of)
    analyses = Analyses(spool.files, ports.get, folder)
    stack.push_async_callback(analyses.close)
    runner = Runner(spool, link, analyses, guard.gate, guard.audit, host.site.id, 30.0)
    condition = Condition(list, lambda: spool.notes.trouble, ports)
    servicer = JobServicer(spool, runner, analyses, ports, condition, guard.gate, guard.audit)
    stack.push_async_callback(servicer.close)
    server = make_server(guard.interceptors)
    add_JobServiceServicer_to_server(servicer, server)
    await _start(host, guard, "job", server, stack)


async def _serve_usb(host: GuardedHost, stack: AsyncExitStack) -> None:
    guard = await _guard(host, "usb-svc", stack)
    usb = UsbSysfs(host.site.folder / "usb")
    for number, serial in enumerate(USB_SERIALS, 1):
        usb.plug_in(f"1-{number}", "0403", "6001", serial=serial)
    host.usb = FakeUsbipHost(usb)
    stack.callback(host.usb.close)
    notes = LoanNotes(host.site.folder / "usb-loans", usb.places.proc)
    lending = Lending(usb.places, host.usb, notes, None, lambda: guard.rulebook.policy)
    stack.push_async_callback(lending.close)
    await lending.look()
    guard.offers(ResourceKind.DEVICE, lambda: [each.id for each in lending.devices])
    servicer = UsbServicer(lending, guard.gate, guard.audit, USB_LINK_TIMEOUT_S, host.usb_totals)
    stack.push_async_callback(servicer.close)
    server = make_server(guard.interceptors)
    add_UsbServiceServicer_to_server(servicer, server)
    await _start(host, guard, "usb", server, stack)


async def _spool(folder: Path, stack: AsyncExitStack) -> Spool:
    """Return jobs 1 and 2, which are active, so that no call changes what the next one finds."""
    background = Background("jobs")
    stack.callback(background.close)
    database = JobDatabase(folder)
    await asyncio.to_thread(database.load)
    stack.callback(database.close)
    store = FileStore(folder / "files", 10**9, 10**6, lambda _: 10**12)
    notes = JobNotes(database, background, time.monotonic)
    spool = Spool(store, notes, partial(datetime.now, UTC))
    await spool.files.load()
    stack.callback(spool.files.close)
    submitter = Person(f"usbshare://{folder.name}/somebody")
    for port in ("laser", "mill"):
        order = Order(port, "x", StoredFile("ab" * 32, 1, 1), submitter)
        job, _ = await spool.enqueue(order)
        spool.jobs.start(job.job_id, submitter.name, auto_advance=False)
    return spool


async def _guard(host: GuardedHost, service: str, stack: AsyncExitStack) -> Guard:
    opened = open_guard(host.site, service=service, tls=host.tls, audit=AuditTable())
    guard = await stack.enter_async_context(opened)
    host.guards[service] = guard
    for work in guard.background().values():
        _run(work, stack)
    return guard


async def _start(
    host: GuardedHost, guard: Guard, name: str, server: grpc.aio.Server, stack: AsyncExitStack
) -> None:
    guard.add_services(server)
    await add_standard_services(server, [])
    port = bind(server, "127.0.0.1:0", server_credentials(host.site))
    host.targets[name] = Target("127.0.0.1", port)
    await server.start()
    stack.push_async_callback(server.stop, None)


def _run(work: Coroutine[Any, Any, object], stack: AsyncExitStack) -> None:
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
