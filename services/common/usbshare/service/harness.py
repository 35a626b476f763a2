"""Starts, runs and ends a service, the same way for every service.

A service is a servicer, a settings class and a function that builds its parts; docs/architecture.md
shows one. The order is: signals, site, guard, the service's parts, its address, metrics, serving,
the ready line, systemd. It ends in reverse order: no new calls are accepted, streams end, the
server stops, the parts are closed, then the guard.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health
from prometheus_client.registry import Collector

from usbshare.base.addresses import join_host_port, split_host_port
from usbshare.base.background_writer import Background
from usbshare.base.deadline import ALOUD_AFTER_S
from usbshare.base.errors import ConfigError
from usbshare.base.event_loop import on_stop_signals, settle_garbage
from usbshare.base.host_names import host_names
from usbshare.base.paths import HOME_VARIABLE, config_folder
from usbshare.base.threads import in_thread
from usbshare.base.watched_task import run_until
from usbshare.client.announcement import Announcing, announcing
from usbshare.hosts.instance import Endpoint, Kind
from usbshare.hosts.settings import DiscoveryTable
from usbshare.rpc.channel import SERVICE_KEEPALIVE
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import server_credentials
from usbshare.service.autostart.command_line import program_path
from usbshare.service.guard import Guard, open_guard
from usbshare.service.metrics import serve_metrics
from usbshare.service.program import GuardedSettings, Program
from usbshare.service.systemd import Systemd, notified_systemd
from usbshare.trust.site import Site, ensure_site

_log = logging.getLogger(__name__)
GRACE_S = 3.0
HEALTH_LOOK_S = 1.0
READ_TIMEOUT_S = 5.0
SITE_TIMEOUT_S = 60.0
_Status = health_pb2.HealthCheckResponse
Task = Coroutine[Any, Any, object]


async def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a service.

    `service_name`: its gRPC service, for health and reflection. `add_to_server`: adds its servicer.
    `described`: its part of the ready line. `tasks`: begins what runs while it serves, by name; the
    service ends when one of them ends. `opened`: what is open while it serves, entered when clients
    can call, left before their streams end. `close`: ends its clients' streams. `is_well`: whether
    it can do its work; health says NOT_SERVING of `service_name` while it cannot.
    """

    service_name: str
    add_to_server: Callable[[grpc.aio.Server], None]
    described: Callable[[], str] = str
    collectors: Sequence[Collector] = ()
    tasks: Callable[[], Mapping[str, Task]] = dict
    opened: AbstractAsyncContextManager[object] | None = None
    close: Callable[[], Task] = _nothing
    is_well: Callable[[], bool] | None = None


class Host:
    """What a service gets to build its parts: the guard and its address."""

    def __init__(
        self,
        program: Program,
        settings: GuardedSettings,
        guard: Guard,
        keepalive: tuple[tuple[str, int], ...],
    ) -> None:
        self.program = program
        self.guard = guard
        self.tls = settings.tls
        self.table = program.table(settings)
        self.server = make_server(guard.interceptors, keepalive)
        self._port: int | None = None

    @property
    def site(self) -> Site | None:
        """The site whose certificates it presents; None over plaintext."""
        return self.guard.site

    def bind(self) -> int:
        """Bind the address, if that has not happened yet, and return its port.

        The harness does so after the parts are built. Raises ConfigError where it is taken.
        """
        if self._port is None:
            credentials = server_credentials(self.site) if self.site else None
            self._port = bind(self.server, self.table.listen, credentials, self.program.port)
        return self._port

    def announcing(self, settings: DiscoveryTable, kind: Kind) -> Announcing | None:
        """Return the announcement to this computer's discovery service, if it is allowed."""
        endpoint = Endpoint(kind, self.bind())
        return announcing(settings, self.site, self.table.listen, endpoint)


Build = Callable[[Host], AbstractAsyncContextManager[Parts]]


async def serve(
    program: Program,
    settings: GuardedSettings,
    build: Build,
    *,
    insecure: bool,
    keepalive: tuple[tuple[str, int], ...] = SERVICE_KEEPALIVE,
) -> None:
    """Serve until SIGINT or SIGTERM; raises ConfigError when it cannot start."""
    stopped = asyncio.Event()
    async with notified_systemd(os.environ) as systemd:

        def stop() -> None:
            stopped.set()
            systemd.stopping()

        on_stop_signals(stop)
        site = await _site(program, settings, insecure)
        async with open_guard(
            site, service=program.name, tls=settings.tls, audit=settings.audit
        ) as guard:
            host = Host(program, settings, guard, keepalive)
            async with build(host) as parts:
                await _serve(host, parts, systemd, stopped)


async def _serve(host: Host, parts: Parts, systemd: Systemd, stopped: asyncio.Event) -> None:
    program, guard, server = host.program, host.guard, host.server
    parts.add_to_server(server)
    guard.add_services(server)
    health_servicer = await add_standard_services(server, [parts.service_name])
    port = host.bind()
    if address := host.table.metrics:
        collectors = (*parts.collectors, *guard.collectors())
        serve_metrics(address, f"{program.section}.metrics", program.metrics_port, *collectors)
    await server.start()
    async with AsyncExitStack() as exits:
        exits.push_async_callback(_stop_server, server, health_servicer, parts.close)
        if parts.opened is not None:
            await exits.enter_async_context(parts.opened)
        settle_garbage()
        ready = f"{program.name} ready at {address_and_trust(host.table.listen, port, host.site)}"
        _log.info("%s", ", ".join(filter(None, (ready, parts.described()))))
        systemd.ready()
        try:
            with guard.against_floods(port):
                health_told = _tell_health(health_servicer, parts)
                tasks = {**guard.background(), **parts.tasks(), "tell_health": health_told}
                await run_until(stopped, **tasks)
        finally:
            _log.info("stopping: accepting no new calls, ending %s", program.ends)


async def _tell_health(health_servicer: health.HealthServicer, parts: Parts) -> None:
    """Keep the health status of a service that may be unwell up to date, until cancelled."""
    if (is_well := parts.is_well) is None:
        await never()
        return
    while True:
        status = _Status.SERVING if is_well() else _Status.NOT_SERVING
        await health_servicer.set(parts.service_name, status)
        await asyncio.sleep(HEALTH_LOOK_S)


async def _stop_server(
    server: grpc.aio.Server,
    health_servicer: health.HealthServicer,
    close: Callable[[], Task],
) -> None:
    """Say NOT_SERVING, close what the server serves, give calls a moment to end, stop it."""
    await health_servicer.enter_graceful_shutdown()
    await close()
    await server.stop(GRACE_S)
    _log.info("stopped")


def address_and_trust(listen: str, port: int, site: Site | None) -> str:
    """Return the part of a ready line that every service has."""
    host, _ = split_host_port(listen, 0)
    trust = f"mTLS, site {site.id}" if site else "plaintext"
    return f"{join_host_port(host, port)} ({trust})"


async def announce(told: Announcing | None) -> None:
    """Keep a service registered with this computer's discovery service, until cancelled."""
    if told is None:
        await never()
    else:
        await told.run()


async def never() -> None:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def state_folder_thread() -> AsyncIterator[Background]:
    """Yield the thread that keeps notes in the state folder; what waits is written at the end."""
    background = Background("the state folder")
    try:
        yield background
    finally:
        await in_thread(background.close)


@asynccontextmanager
async def aloud(what: str) -> AsyncIterator[None]:
    """Log one line if the block takes longer than a second."""
    loop = asyncio.get_running_loop()
    telling = loop.call_later(ALOUD_AFTER_S, _log.warning, "waiting for %s: no answer yet", what)
    try:
        yield
    finally:
        telling.cancel()


async def load_in_time(load: Callable[[], None], otherwise: Callable[[str], None]) -> None:
    """Load state files in a thread, for 5 s at most; else report that they are unknown, and why."""
    try:
        await asyncio.wait_for(in_thread(load), READ_TIMEOUT_S)
    except TimeoutError:
        otherwise(f"it does not answer within {READ_TIMEOUT_S:g} s")


async def _site(program: Program, settings: GuardedSettings, insecure: bool) -> Site | None:
    if insecure:
        _log.warning("plaintext: anyone on this computer can %s (--insecure)", program.does)
        return None
    return await own_site(settings.tls.names, settings.tls.certificate_days)


async def own_site(names: Iterable[str], certificate_days: int = 90) -> Site:
    """Return the site of this computer, created on the first start; raises ConfigError."""
    making = in_thread(_own_site, names, timedelta(days=certificate_days))
    try:
        async with aloud(f"the certificates in {config_folder()}"):
            return await asyncio.wait_for(making, SITE_TIMEOUT_S)
    except TimeoutError as error:
        raise ConfigError(
            f"{config_folder()} does not answer within {SITE_TIMEOUT_S:.0f} s: fix its disk, "
            "then start again"
        ) from error


def _own_site(names: Iterable[str], life: timedelta) -> Site:
    site = ensure_site(config_folder(), host_names(names), life=life)
    if site.is_new:
        _log.info("made site %s; to let another PC in%s", site.id, _how_to_invite())
    return site


def _how_to_invite() -> str:
    if not (home := os.environ.get(HOME_VARIABLE)):
        return ": `serial-svc pki invite`"
    command = f"{program_path('serial-svc')} pki invite"
    return f", as this user and with {HOME_VARIABLE}={home}: `{command}`"
