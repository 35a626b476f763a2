"""A real panel beside a real host, and pages of it that speak its WebSocket."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from fakes.job_host import JobHost, job_host
from fakes.processes import Process
from usbshare.base.watched_task import cancel_all

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
    _messages: asyncio.Queue[aiohttp.WSMessage] = field(default_factory=asyncio.Queue)

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

    async def until_ended(self) -> None:
        """Return once the socket is closed."""
        async with asyncio.timeout(TIMEOUT_S):
            while (await self._messages.get()).type is aiohttp.WSMsgType.TEXT:
                pass

    async def take(self) -> dict[str, Any]:
        """Take one event."""
        message = await self._messages.get()
        if message.type is not aiohttp.WSMsgType.TEXT:
            self._messages.put_nowait(message)
            raise AssertionError(f"the socket ended: {message}")
        event: dict[str, Any] = json.loads(message.data)
        self._note(event)
        return event

    async def read(self) -> None:
        """Read to the end; only who reads answers the panel's pings, and unanswered it closes."""
        message = await self.socket.receive()
        while message.type is aiohttp.WSMsgType.TEXT:
            self._messages.put_nowait(message)
            message = await self.socket.receive()
        self._messages.put_nowait(message)

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
            for sort, (listed, _) in _SORTS.items():
                for each in what.get(listed, ()):
                    self._change(sort, each)
        elif kind == "answer":
            self.answers[what["requestId"]] = what
        elif kind == "console":
            self.lines += what["lines"]
        elif kind == "gatewayChanged":
            self.gateway = what
        elif kind.endswith("Changed"):
            self._change(kind.removesuffix("Changed"), what)
        elif kind.endswith("Removed"):
            sort = kind.removesuffix("Removed")
            _, key = _SORTS[sort]
            is_whole = sort in ("host", "localPort", "machine", "camera")
            self._things(sort).pop(_named(what) if is_whole else key(what), None)

    def _change(self, sort: str, what: Any) -> None:
        _, key = _SORTS[sort]
        self._things(sort)[key(what)] = what["job"] if sort == "job" else what

    def _things(self, sort: str) -> dict[Any, Any]:
        sorts: dict[str, dict[Any, Any]] = {
            "host": self.hosts,
            "machine": self.machines,
            "camera": self.cameras,
            "job": self.jobs,
            "localPort": self.ports,
        }
        return sorts[sort]


@asynccontextmanager
async def page_at(http: aiohttp.ClientSession, origin: str, **headers: str) -> AsyncIterator[Page]:
    """Open a page of the panel at an address."""
    given = {"Origin": origin, **headers}
    async with http.ws_connect(f"{origin}/socket", headers=given, max_msg_size=0) as socket:
        page = Page(socket)
        reading = asyncio.create_task(page.read(), name="page")
        try:
            yield page
        finally:
            await cancel_all(reading)


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
        async with page_at(self.http, self.origin, **headers) as page:
            yield page

    @asynccontextmanager
    async def ready_page(self) -> AsyncIterator[Page]:
        """Open a page, and wait until it shows the laser."""
        async with self.page() as page:
            await page.until_laser(lambda laser: laser["control"].get("isAllowed"))
            yield page


@asynccontextmanager
async def panel_host(
    home: Path,
    arguments: Sequence[str] = (),
    more: str = "",
    ports: str = "",
    through: Callable[[int], Awaitable[int]] | None = None,
    jobs_through: Callable[[int], Awaitable[int]] | None = None,
) -> AsyncIterator[PanelHost]:
    """Run a host and a panel that knows it as `shop`.

    `through` gets the serial service's TCP port and returns the one that the panel shall use,
    `jobs_through` the job service's.
    """
    async with job_host(home, ports=ports) as host:
        pc = home / "panel.toml"
        serial_port = await through(host.serial_port) if through else host.serial_port
        job_port = await jobs_through(host.job_port) if jobs_through else host.job_port
        pc.write_text(
            "[discovery]\nmdns = false\nbeacon = false\n"
            f'[hosts.{HOST}]\naddress = "127.0.0.1"\nserial = {serial_port}\n'
            f"job = {job_port}\n{more}"
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


def state_of(laser: dict[str, Any]) -> str:
    """Return what a machine says that it is doing, empty while it says nothing."""
    state: str = laser.get("report", {}).get("state", "")
    return state


def place_of(laser: dict[str, Any], position: str = "workPosition") -> list[float]:
    """Return where a machine says that it is; at its zero while it says nothing."""
    place: list[float] = laser.get("report", {}).get(position, [0.0, 0.0, 0.0])
    return place


def made_now(jog: dict[str, Any]) -> dict[str, Any]:
    """Return a message of a jog that was made now: a panel here has the same monotonic clock."""
    return {**jog, "madeAt": f"{time.monotonic():.6f}s"}


def _named(name: str | dict[str, str]) -> Any:
    """Return the key that a removal names."""
    return name if isinstance(name, str) else tuple(name.values())


# The list of a snapshot, and the key of a thing, of each sort.
_SORTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "host": ("hosts", lambda each: each["key"]),
    "machine": ("machines", lambda each: _named(each["key"])),
    "camera": ("cameras", lambda each: _named(each["key"])),
    "job": ("jobs", lambda each: each["job"]["jobId"]),
    "localPort": ("localPorts", lambda each: each["id"]),
}
