"""A real panel beside a real host, and pages of it that speak its WebSocket."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from fakes.job_host import JobHost, job_host
from fakes.processes import Process

TIMEOUT_S = 60.0
HOST = "shop"
LASER = {"host": HOST, "portId": "laser"}


@dataclass
class Page:
    """One page: what it was told so far, by key, and what it asked."""

    socket: aiohttp.ClientWebSocketResponse
    gateway: dict[str, Any] = field(default_factory=dict)
    hosts: dict[str, Any] = field(default_factory=dict)
    machines: dict[tuple[str, str], Any] = field(default_factory=dict)
    cameras: dict[tuple[str, str], Any] = field(default_factory=dict)
    jobs: dict[str, Any] = field(default_factory=dict)
    ports: dict[str, Any] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def ask(self, **action: Any) -> dict[str, Any]:
        """Send a request, such as `stop={…}`; return its answer."""
        number = await self.send(**action)
        await self.until(lambda: number in self.answers)
        return self.answers[number]

    async def send(self, **action: Any) -> int:
        """Send a request; return its number."""
        number = next(self._numbers)
        await self.tell(id=number, **action)
        return number

    async def tell(self, **request: Any) -> None:
        """Send a request as it is."""
        await self.socket.send_str(json.dumps(request))

    async def until(self, holds: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> Any:
        """Take what comes until something holds; returns that."""
        async with asyncio.timeout(timeout_s):
            while not (found := holds()):
                await self.take()
        return found

    async def take(self) -> dict[str, Any]:
        """Take one event."""
        message = await self.socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise AssertionError(f"the socket ended: {message}")
        event: dict[str, Any] = json.loads(message.data)
        self._note(event)
        return event

    @property
    def laser(self) -> dict[str, Any]:
        """The machine that tests act on; empty before it is known."""
        found: dict[str, Any] = self.machines.get((HOST, "laser"), {})
        return found

    async def until_laser(self, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Return the machine once it is as wanted."""
        await self.until(lambda: self.laser and holds(self.laser))
        return self.laser

    def _note(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        ((kind, what),) = event.items()
        if kind == "snapshot":
            self.gateway = what.get("gateway", {})
            for each in what.get("hosts", ()):
                self.hosts[each["key"]] = each
            for each in what.get("machines", ()):
                self.machines[_machine(each["key"])] = each
            for each in what.get("cameras", ()):
                self.cameras[_camera(each["key"])] = each
            for each in what.get("jobs", ()):
                self.jobs[each["job"]["jobId"]] = each["job"]
            for each in what.get("localPorts", ()):
                self.ports[each["id"]] = each
        elif kind == "answer":
            self.answers[what["requestId"]] = what
        elif kind == "console":
            self.lines += what["lines"]
        else:
            self._note_change(kind, what)

    def _note_change(self, kind: str, what: Any) -> None:
        match kind:
            case "gatewayChanged":
                self.gateway = what
            case "hostChanged":
                self.hosts[what["key"]] = what
            case "hostRemoved":
                self.hosts.pop(what, None)
            case "machineChanged":
                self.machines[_machine(what["key"])] = what
            case "machineRemoved":
                self.machines.pop(_machine(what), None)
            case "cameraChanged":
                self.cameras[_camera(what["key"])] = what
            case "cameraRemoved":
                self.cameras.pop(_camera(what), None)
            case "jobChanged":
                self.jobs[what["job"]["jobId"]] = what["job"]
            case "jobRemoved":
                self.jobs.pop(what["job"]["jobId"], None)
            case "localPortChanged":
                self.ports[what["id"]] = what
            case "localPortRemoved":
                self.ports.pop(what, None)


@dataclass
class PanelHost:
    """The host's services, the panel, and a browser's session with it."""

    host: JobHost
    panel: Process
    url: str
    http: aiohttp.ClientSession

    @property
    def origin(self) -> str:
        """What a page of this panel has as its origin."""
        return self.url.partition("/?")[0].rstrip("/")

    @asynccontextmanager
    async def page(self, **headers: str) -> AsyncIterator[Page]:
        """Open a page."""
        address = f"{self.origin}/socket"
        given = {"Origin": self.origin, **headers}
        async with self.http.ws_connect(address, headers=given, max_msg_size=0) as socket:
            yield Page(socket)

    @asynccontextmanager
    async def ready_page(self) -> AsyncIterator[Page]:
        """Open a page, and wait until it shows the laser."""
        async with self.page() as page:
            await page.until_laser(lambda laser: laser["control"].get("isAllowed"))
            yield page


@asynccontextmanager
async def panel_host(
    home: Path, arguments: Sequence[str] = (), more: str = "", ports: str = ""
) -> AsyncIterator[PanelHost]:
    """Run a host and a panel that knows it as `shop`."""
    async with job_host(home, ports=ports) as host:
        pc = home / "panel.toml"
        pc.write_text(
            "[discovery]\nmdns = false\nbeacon = false\n"
            f'[hosts.{HOST}]\naddress = "127.0.0.1"\nserial = {host.serial_port}\n'
            f"job = {host.job_port}\n{more}"
        )
        words = ["usbshare-bridge", "--config", str(pc), "panel", "--json"]
        if "--listen" not in arguments:
            words += ["--listen", "127.0.0.1:0"]
        process = Process([*words, *arguments], host.environment)
        try:
            url = json.loads(process.wait_for('"ready"').string)["url"]
            async with aiohttp.ClientSession() as http:
                yield PanelHost(host, process, url, http)
        finally:
            process.stop()


def _machine(key: dict[str, str]) -> tuple[str, str]:
    return key["host"], key["portId"]


def _camera(key: dict[str, str]) -> tuple[str, str]:
    return key["host"], key["cameraId"]
