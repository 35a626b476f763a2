"""The composed panel: it finds and follows hosts, carries out requests, and serves pages."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from usbshare.base.errors import ConnectionRefusedByPeerError, NotFoundError
from usbshare.base.os_errors import in_words
from usbshare.base.threads import in_thread
from usbshare.base.watched_task import cancel_all, in_background
from usbshare.client.camera.client import CameraClient
from usbshare.client.serial.client import SerialClient
from usbshare.panel.api.access_requests import access_handlers
from usbshare.panel.api.camera_calls import CameraCalls
from usbshare.panel.api.control_requests import control_handlers
from usbshare.panel.api.host_requests import host_handlers
from usbshare.panel.api.job_calls import JobCalls
from usbshare.panel.api.job_requests import job_handlers
from usbshare.panel.api.job_routes import JobRoutes
from usbshare.panel.api.jog_requests import jog_handlers, tell_ended
from usbshare.panel.api.local_port_requests import local_port_handlers, local_port_text
from usbshare.panel.api.own_requests import own_handlers
from usbshare.panel.api.pack_gateway import GatewayView, gateway_text
from usbshare.panel.api.pack_host import camera_text, host_text, job_text
from usbshare.panel.api.pack_machine import machine_text
from usbshare.panel.api.requests import Handler, PageRequests
from usbshare.panel.api.serial_calls import SerialCalls
from usbshare.panel.api.show_requests import control_asked_text, show_handlers
from usbshare.panel.api.shown_audits import ShownAudits
from usbshare.panel.api.shown_latencies import ShownLatencies
from usbshare.panel.api.stop_requests import acting_handlers
from usbshare.panel.board import Board
from usbshare.panel.cameras.camera_follower import CameraFollower
from usbshare.panel.certificate import Certificate
from usbshare.panel.hosts.fleet import ADDED_HOSTS, Fleet, OpenFinder
from usbshare.panel.hosts.host import Host
from usbshare.panel.jobs.job_follower import JobFollower
from usbshare.panel.jog.jogs import Jogs
from usbshare.panel.latency.latencies import Latencies
from usbshare.panel.local_ports.launchers import system_launcher
from usbshare.panel.local_ports.local_ports import LocalPorts
from usbshare.panel.machines.acting import Acting, Ways
from usbshare.panel.machines.control import Place
from usbshare.panel.machines.controls import Controls
from usbshare.panel.machines.machine_view import MachineKey
from usbshare.panel.machines.machines import Machines
from usbshare.panel.machines.observing import Observers
from usbshare.panel.machines.permissions import Permission
from usbshare.panel.machines.serial_follower import SerialFollower
from usbshare.panel.own_computer import EnrolledView, OwnComputer, Usual
from usbshare.panel.pictures.routes import add_pictures
from usbshare.panel.request_guard import Guard
from usbshare.panel.seen import SeenCamera
from usbshare.panel.server import PanelServer
from usbshare.panel.socket import Sockets
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

log = logging.getLogger(__name__)

PORTS_FOLDER = "panel-ports"


@dataclass(frozen=True, slots=True)
class PanelChoice:
    """What a panel needs: how hosts are found, of which computer, and whom it serves.

    `in_plaintext`: without a certificate. `named`: hosts to follow without discovery.
    """

    open_finder: OpenFinder
    own: OwnComputer
    in_plaintext: bool
    guard: Guard
    client_name: str
    state_folder: Path
    named: Sequence[Target] = ()


class Gateway:
    """Owns everything of one panel; `run` serves until it is cancelled or stopped."""

    def __init__(self, choice: PanelChoice) -> None:
        self._choice = choice
        self.board = Board()
        self.machines = Machines(self.board, machine_text)
        self.fleet = Fleet(
            self.board,
            self.machines,
            self,
            host_text,
            in_plaintext=choice.in_plaintext,
        )
        self._certificate = Certificate(choice.own, self._any_host, self._use)
        self._usual = Usual()
        self._acting = Acting(self._ways)
        self.controls = Controls(
            self.machines, self._place, self._control_asked, choice.client_name
        )
        self._observers = Observers(self.controls, self.controls.place, choice.client_name)
        self._jogs = Jogs(tell_ended)
        self._latencies = Latencies(self._serial_client)
        self._audits = ShownAudits(self.fleet)
        self._local_ports = LocalPorts(
            self.board,
            local_port_text,
            choice.own.bridge_command,
            system_launcher(),
            choice.state_folder / PORTS_FOLDER,
        )
        self._requests = PageRequests(self._handlers())
        self._server = PanelServer(
            Sockets(self.board, self._requests), choice.guard, self._add_routes
        )

    async def run(
        self, listening: socket.socket, stopping: asyncio.Event, ready: Callable[[], None]
    ) -> None:
        """Serve at a listening socket until it is stopped; calls `ready` once pages are served."""
        choice, certificate = self._choice, self._certificate
        self._usual = await in_thread(choice.own.usual)
        added = await in_thread(ADDED_HOSTS.load, choice.state_folder)
        if not choice.in_plaintext:
            await certificate.load()
        self._show_gateway()
        self.fleet.on_change(self._show_gateway)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                self.fleet.running(choice.open_finder, certificate.bundle, choice.named, added)
            )
            if not choice.in_plaintext:
                keeping = in_background(certificate.run(), "certificate")
                stack.push_async_callback(cancel_all, keeping)
            stack.push_async_callback(self._local_ports.close)
            await self._local_ports.start()
            stack.push_async_callback(self.controls.close)
            stack.push_async_callback(self._observers.close)
            stack.push_async_callback(self._jogs.close)
            stack.push_async_callback(self._latencies.close)
            stack.push_async_callback(self._audits.close)
            stack.push_async_callback(self._requests.close)
            stack.push_async_callback(self._server.close)
            stack.push_async_callback(self._end_motion)
            await self._server.start(listening)
            ready()
            await stopping.wait()

    async def _end_motion(self) -> None:
        """End motion before anything else, and notify the pages."""
        self._requests.end()
        # In parallel: a jog whose host is gone may take long.
        await asyncio.gather(self._jogs.close(), self.controls.close())

    # What follows a host's services.

    def serial(self, host: Host) -> SerialFollower:
        """Return what follows its serial service."""
        return SerialFollower(host.key, SerialCalls, self.machines, host, self.board.watched)

    def camera(self, host: Host, connected: Callable[[Target], None]) -> CameraFollower:
        """Return what follows its cameras."""
        return CameraFollower(host.key, CameraCalls, self.board, _camera_text, connected)

    def job(self, host: Host, connected: Callable[[Target], None]) -> JobFollower:
        """Return what follows its jobs."""
        return JobFollower(host.key, JobCalls, self.board, job_text, connected)

    # For the pictures.

    def client(self, host: str) -> CameraClient:
        """Return a new client of a host's cameras; raises NotFoundError."""
        place = self.fleet.get(host).camera.place
        if place is None:
            raise NotFoundError(f"host {host!r} has no known cameras")
        return CameraClient(*place)

    # Helpers.

    def _add_routes(self, app: web.Application) -> None:
        add_pictures(app, self, self._choice.client_name)
        JobRoutes(self.fleet, self.board).add_to(app)

    def _handlers(self) -> Mapping[str, Handler]:
        return {
            **acting_handlers(self._acting, self._choice.client_name),
            **host_handlers(self.fleet, self._save_hosts),
            **control_handlers(self.controls, self._jogs, self._acting),
            **jog_handlers(self.controls, self._jogs, self._acting),
            **show_handlers(
                self.controls, self._observers, ShownLatencies(self._latencies), self._audits
            ),
            **access_handlers(self.fleet),
            **job_handlers(self.fleet),
            **local_port_handlers(self._local_ports, self.fleet, self.machines),
            **own_handlers(self._choice.own, self.fleet, self._enrolled),
        }

    async def _save_hosts(self) -> None:
        """Save the added hosts for the next start; on a full disk they are lost."""
        try:
            await in_thread(ADDED_HOSTS.save, self._choice.state_folder, self.fleet.added)
        except OSError as error:
            log.warning("added hosts cannot be saved: %s", in_words(error))

    def _show_gateway(self) -> None:
        certificate = self._certificate
        host = self.fleet.find(self._usual.target)
        usual = ("", "", "") if host is None else (host.key, self._usual.port_id, self._usual.text)
        view = GatewayView(certificate.bundle, certificate.problem, usual)
        self.board.put_gateway(gateway_text(view))

    async def _use(self, bundle: ClientBundle) -> None:
        """Use a new certificate for all connections from now on."""
        await self.fleet.use(bundle)
        self._show_gateway()

    async def _enrolled(self, view: EnrolledView) -> None:
        self._usual = Usual(str(view.target), "", "as enrolled")
        self.fleet.name(view.target)
        await self._certificate.look()

    def _any_host(self) -> Target:
        """Return where a certificate can be renewed; raises ConnectionRefusedByPeerError."""
        for host in self.fleet:
            if host.is_connected and host.serial.place is not None:
                return host.serial.place[0]
        raise ConnectionRefusedByPeerError("no host of this computer's site answers")

    def _place(self, host: str) -> Place | None:
        return self.fleet.followed(host).serial.place

    def _serial_client(self, host: str) -> SerialClient:
        place = self._place(host)
        if place is None:
            raise NotFoundError(f"host {host!r} has no known machines")
        return SerialClient(*place)

    def _control_asked(self, key: MachineKey, who: str) -> None:
        self.board.tell_all(("asked", *key), control_asked_text(key, who))

    def _ways(self, host: str) -> Ways:
        return self.fleet.followed(host).serial


def _camera_text(host: str, seen: SeenCamera) -> str:
    return camera_text(host, seen, Permission(True))
