"""The panel put together: what finds and follows hosts, carries out requests, and serves pages."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from usbshare.base.errors import NotFoundError
from usbshare.client.camera.client import CameraClient
from usbshare.client.serial.client import SerialClient
from usbshare.panel.api.camera_calls import CameraCalls
from usbshare.panel.api.control_requests import control_handlers
from usbshare.panel.api.host_requests import host_handlers
from usbshare.panel.api.job_calls import JobCalls
from usbshare.panel.api.job_requests import job_handlers
from usbshare.panel.api.job_routes import JobRoutes
from usbshare.panel.api.jog_requests import jog_handlers, tell_ended
from usbshare.panel.api.local_port_requests import local_port_handlers, local_port_text
from usbshare.panel.api.machine_requests import acting_handlers
from usbshare.panel.api.pack_gateway import GatewayView, gateway_text
from usbshare.panel.api.pack_host import camera_text, host_text, job_text
from usbshare.panel.api.pack_machine import machine_text
from usbshare.panel.api.requests import Handler, PageRequests
from usbshare.panel.api.serial_calls import SerialCalls
from usbshare.panel.api.show_requests import control_asked_text, show_handlers
from usbshare.panel.api.shown_latencies import ShownLatencies
from usbshare.panel.board import Board
from usbshare.panel.cameras.camera_follower import CameraFollower
from usbshare.panel.guard import Guard
from usbshare.panel.hosts.fleet import Fleet, OpenFinder
from usbshare.panel.hosts.host import Host
from usbshare.panel.jobs.job_follower import JobFollower
from usbshare.panel.jog.jogs import Jogs
from usbshare.panel.latency.latencies import Latencies
from usbshare.panel.local_ports.launchers import system_launcher
from usbshare.panel.local_ports.local_ports import Command, LocalPorts
from usbshare.panel.machines.acting import Acting, Ways
from usbshare.panel.machines.control import Place
from usbshare.panel.machines.controls import Controls
from usbshare.panel.machines.machine_view import MachineKey
from usbshare.panel.machines.machines import Machines
from usbshare.panel.machines.permissions import Permission
from usbshare.panel.machines.serial_follower import SerialFollower
from usbshare.panel.pictures.routes import add_pictures
from usbshare.panel.seen import SeenCamera
from usbshare.panel.server import PanelServer
from usbshare.panel.socket import Sockets
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

PORTS_FOLDER = "panel-ports"


@dataclass(frozen=True, slots=True)
class PanelChoice:
    """What a panel needs: how hosts are found, with which trust, and whom it serves.

    `bundle` None: in plaintext if `in_plaintext`, else this computer is not enrolled, and
    `bundle_problem` says why. `named`: hosts to follow without being found.
    """

    open_finder: OpenFinder
    bundle: ClientBundle | None
    in_plaintext: bool
    guard: Guard
    client_name: str
    bridge_command: Command
    state_folder: Path
    bundle_problem: str = ""
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
        self._acting = Acting(self._ways)
        self.controls = Controls(
            self.machines, self._place, self._control_asked, choice.client_name
        )
        self._jogs = Jogs(tell_ended)
        self._latencies = Latencies(self._serial_client)
        self._local_ports = LocalPorts(
            self.board,
            local_port_text,
            choice.bridge_command,
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
        choice = self._choice
        self.board.put_gateway(gateway_text(GatewayView(choice.bundle, choice.bundle_problem)))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                self.fleet.running(choice.open_finder, choice.bundle, choice.named)
            )
            stack.push_async_callback(self._local_ports.close)
            await self._local_ports.start()
            stack.push_async_callback(self.controls.close)
            stack.push_async_callback(self._jogs.close)
            stack.push_async_callback(self._latencies.close)
            stack.push_async_callback(self._requests.close)
            stack.push_async_callback(self._server.close)
            await self._server.start(listening)
            ready()
            await stopping.wait()

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

    # What the pictures ask.

    def client(self, host: str) -> CameraClient:
        """Return a new client of a host's cameras; raises NotFoundError."""
        place = self.fleet.get(host).camera.place
        if place is None:
            raise NotFoundError(f"host {host!r} has no cameras, as far as is known")
        return CameraClient(*place)

    # Helpers.

    def _add_routes(self, app: web.Application) -> None:
        add_pictures(app, self, self._choice.client_name)
        JobRoutes(self.fleet, self.board).add_to(app)

    def _handlers(self) -> Mapping[str, Handler]:
        return {
            **acting_handlers(self._acting, self._choice.client_name),
            **host_handlers(self.fleet),
            **control_handlers(self.controls, self._jogs),
            **jog_handlers(self.controls, self._jogs, self._acting),
            **show_handlers(self.controls, ShownLatencies(self._latencies)),
            **job_handlers(self.fleet),
            **local_port_handlers(self._local_ports, self.fleet, self.machines),
        }

    def _place(self, host: str) -> Place | None:
        return self.fleet.followed(host).serial.place

    def _serial_client(self, host: str) -> SerialClient:
        place = self._place(host)
        if place is None:
            raise NotFoundError(f"host {host!r} has no machines, as far as is known")
        return SerialClient(*place)

    def _control_asked(self, key: MachineKey, who: str) -> None:
        self.board.tell_all(("asked", *key), control_asked_text(key, who))

    def _ways(self, host: str) -> Ways:
        return self.fleet.followed(host).serial


def _camera_text(host: str, seen: SeenCamera) -> str:
    return camera_text(host, seen, Permission(True))
