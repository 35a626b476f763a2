"""The bridge's own connection for stops, against a real server that can refuse and vanish."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.overtaking import overtaking
from fakes.waiting import until
from usbshare.base.errors import DeviceError, NotFoundError, PortLatchedError, UsbshareError
from usbshare.bridge.forwarding import urgent_line
from usbshare.bridge.forwarding.urgent_line import UrgentLine
from usbshare.client.connection_limiter import Turns
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.dialer import Dialer
from usbshare.rpc.channel import parse_target
from usbshare.rpc.server import bind, make_server
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import (
    SerialServiceServicer,
    add_SerialServiceServicer_to_server,
)

Context = grpc.aio.ServicerContext[Any, Any]


class Service(SerialServiceServicer):
    """Remembers what it is asked and by whom; `failures` are raised first, one a call."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes, str]] = []
        self.numbered: list[tuple[bytes, int]] = []
        self.urgent_peers: set[str] = set()
        self.session_peers: set[str] = set()
        self.failures: list[UsbshareError] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def SendRealtime(
        self, request: pb.SendRealtimeRequest, context: Context
    ) -> pb.SendRealtimeResponse:
        self.requests.append((request.port_id, request.data, request.session_id))
        self.numbered.append((request.data, request.first_number))
        self.urgent_peers.add(context.peer())
        await self.answers.wait()
        if self.failures:
            raise self.failures.pop(0)
        return pb.SendRealtimeResponse()

    async def Session(  # type: ignore[override]  # the stub knows only generators
        self, request_iterator: object, context: Context
    ) -> None:
        self.session_peers.add(context.peer())


class Host:
    """A server on one port of loopback that comes and goes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._server: grpc.aio.Server | None = None
        self.target = "127.0.0.1:0"

    async def start(self) -> None:
        self._server = make_server()
        add_SerialServiceServicer_to_server(self._service, self._server)
        self.target = f"127.0.0.1:{bind(self._server, self.target, None)}"
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def client(self) -> SerialClient:
        return SerialClient(parse_target(self.target), None)


class Reporter:
    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, name: str, text: str, **fields: Any) -> None:
        self.events.append(name)

    def status(self, status: object) -> None: ...

    def end(self) -> None: ...


def dialer(connect: Callable[[], SerialClient]) -> Dialer:
    return Dialer(lambda _: connect(), Turns(), time.monotonic)


@pytest.fixture
def service() -> Service:
    return Service()  # type: ignore[abstract]  # nobody calls the rest


@pytest.fixture
async def host(service: Service) -> AsyncIterator[Host]:
    host = Host(service)
    await host.start()
    yield host
    service.answers.set()
    await host.stop()


@pytest.fixture
def reporter() -> Reporter:
    return Reporter()


@pytest.fixture
async def line(host: Host, reporter: Reporter) -> AsyncIterator[UrgentLine]:
    line = UrgentLine(dialer(host.client), reporter)
    line.start()
    await until(lambda: line.is_ready)
    yield line
    await line.close()


async def test_bytes_arrive_with_their_port_and_session(
    line: UrgentLine, service: Service, reporter: Reporter
) -> None:
    assert await line.send(overtaking(b"\x18"), "laser", "s1")
    assert service.requests == [("laser", b"\x18", "s1")]
    assert reporter.events == []


async def test_the_urgent_line_is_a_separate_connection(
    line: UrgentLine, host: Host, service: Service
) -> None:
    session = host.client()
    await converse(session)
    await line.send(overtaking(b"!"), "laser", "s1")
    assert len(service.urgent_peers) == len(service.session_peers) == 1
    assert service.session_peers.isdisjoint(service.urgent_peers)
    await session.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_urgent_line_connects_before_it_is_needed(line: UrgentLine, host: Host) -> None:
    port = int(host.target.rpartition(":")[2])
    assert line.is_ready
    assert connections_to(port) == 1
    session = host.client()
    await converse(session)
    assert connections_to(port) == 2
    await session.close()


async def test_the_urgent_line_follows_the_service(
    host: Host, service: Service, reporter: Reporter
) -> None:
    places = [host]

    def connect() -> SerialClient:
        return places[-1].client()

    line = UrgentLine(dialer(connect), reporter)
    line.start()
    await until(lambda: line.is_ready)
    service.answers.clear()
    under_way = line.send(overtaking(b"!"), "laser", "s1")
    await until(lambda: service.requests)
    elsewhere = Host(moved := Service())  # type: ignore[abstract]  # nobody calls the rest
    await elsewhere.start()
    places.append(elsewhere)
    line.move()
    await until(lambda: line.is_ready)
    assert await line.send(overtaking(b"\x18"), "laser", "s2")
    assert ("laser", b"\x18", "s2") in moved.requests
    assert ("laser", b"!", "s1") in moved.requests, "nobody knew whether it had arrived"
    service.answers.set()
    assert await under_way, "what was being sent is not lost"
    await line.close()
    await elsewhere.stop()
    assert reporter.events == []


async def converse(client: SerialClient) -> None:
    stream = await client.open_session("laser", name="test")
    with suppress(EOFError, grpc.aio.AioRpcError):
        await stream.receive()


def connections_to(port: int) -> int:
    """Return how many established TCP connections lead there, as the kernel says."""
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


@pytest.mark.parametrize("stop", [b"\x18", b"!", b"\x84\x85", b"M112\n"])
async def test_a_stop_is_tried_again_while_the_service_cannot(
    line: UrgentLine, service: Service, reporter: Reporter, stop: bytes
) -> None:
    service.failures = [DeviceError("no device"), DeviceError("no device")]
    assert await line.send(overtaking(stop), "laser", "s1")
    assert service.requests == [("laser", stop, "s1")] * 3
    assert reporter.events == []


@pytest.mark.parametrize("going_on", [b"~", b"M108\n", b"?"])
async def test_a_non_stop_is_sent_once(
    line: UrgentLine, service: Service, reporter: Reporter, going_on: bytes
) -> None:
    service.failures = [DeviceError("no device")]
    assert not await line.send(overtaking(going_on), "laser", "s1")
    assert len(service.requests) == 1
    assert reporter.events == ["stop_undelivered"]


async def test_bytes_before_a_stop_are_sent_with_it_once_and_never_late(
    line: UrgentLine, service: Service, reporter: Reporter
) -> None:
    service.failures = [DeviceError("no device"), DeviceError("no device")]
    assert await line.send(overtaking(b"!~\x84?\x18"), "laser", "s1")
    stops = [(b"!", 1), (b"!", 1), (b"\x84", 3), (b"\x18", 5)]
    assert service.numbered == [(b"!~\x84?\x18", 1), *stops]
    assert reporter.events == []


async def test_a_stop_is_sent_although_what_precedes_it_is_refused(
    line: UrgentLine, service: Service, reporter: Reporter
) -> None:
    service.failures = [PortLatchedError("the epoch of ~ is over")]
    assert await line.send(overtaking(b"~!"), "laser", "s1")
    assert service.numbered == [(b"~!", 1), (b"!", 2)]
    assert reporter.events == []


async def test_a_refusal_is_not_tried_again(
    line: UrgentLine, service: Service, reporter: Reporter
) -> None:
    service.failures = [NotFoundError("no port 'x' here")]
    assert not await line.send(overtaking(b"!"), "x", "s1")
    assert len(service.requests) == 1
    assert reporter.events == ["stop_undelivered"]


async def test_a_stop_that_is_not_accepted_is_abandoned_in_time_and_reported(
    line: UrgentLine, service: Service, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urgent_line, "DELIVERY_S", 0.2)
    monkeypatch.setattr(urgent_line, "GIVE_UP_S", 0.6)
    service.answers.clear()
    assert not await line.send(overtaking(b"\x18"), "laser", "s1")
    assert reporter.events == ["stop_unconfirmed", "stop_undelivered"]


async def test_long_runs_are_cut_into_what_a_message_carries(
    line: UrgentLine, service: Service
) -> None:
    await line.send(overtaking(b"M410\nM112\n"), "printer", "s1")
    await line.send(overtaking(b"!" * 100), "laser", "s1")
    assert service.numbered == [(b"M410\nM112\n", 1), (b"!" * 64, 1), (b"!" * 36, 65)]


async def test_a_lost_connection_is_reported_once_and_comes_back_automatically(
    line: UrgentLine, host: Host, service: Service, reporter: Reporter
) -> None:
    await host.stop()
    await until(lambda: reporter.events == ["urgent_line_lost"])
    assert not line.is_ready
    assert not await line.send(overtaking(b"~"), "laser", "s1")
    await host.start()
    await until(lambda: line.is_ready)
    assert reporter.events == ["urgent_line_lost", "stop_undelivered", "urgent_line_ready"]
    assert await line.send(overtaking(b"~"), "laser", "s1")
    assert service.requests == [("laser", b"~", "s1")]


async def test_a_stop_waits_for_the_connection_that_comes_back(
    line: UrgentLine, host: Host, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urgent_line, "DELIVERY_S", 30.0)
    await host.stop()
    await until(lambda: not line.is_ready)
    sending = line.send(overtaking(b"!"), "laser", "s1")
    await host.start()
    assert await sending
    assert service.requests == [("laser", b"!", "s1")]


async def test_a_stop_whose_connection_is_closed_by_another_goes_out_on_the_next(
    host: Host, service: Service, reporter: Reporter
) -> None:
    connections = dialer(host.client)
    of_the_session = await connections.connect()
    line = UrgentLine(connections, reporter)
    service.answers.clear()
    sending = line.send(overtaking(b"\x18"), "laser", "s1")
    await until(lambda: service.requests)
    await of_the_session.close()
    service.answers.set()
    line.start()
    assert await sending
    assert service.requests == [("laser", b"\x18", "s1")] * 2
    assert reporter.events == []
    await line.close()


async def test_a_connection_that_is_lent_is_used_to_the_end(
    line: UrgentLine, service: Service
) -> None:
    service.answers.clear()
    with line.lent() as client:
        assert client is not None
        calling = asyncio.create_task(client.send_realtime("laser", b"!"))
        await until(lambda: service.requests)
        line.move()
        await until(lambda: line.is_ready and line.client is not client)
        service.answers.set()
        await calling
        assert client.is_connected
    await until(lambda: not client.is_connected)


async def test_a_connection_that_is_lent_ends_with_the_line(line: UrgentLine) -> None:
    with line.lent() as client:
        assert client is not None
        line.move()
        await until(lambda: line.is_ready and line.client is not client)
        await line.close()
        assert not client.is_connected


async def test_a_call_that_its_own_task_gives_up_is_cancelled(host: Host, service: Service) -> None:
    client = host.client()
    service.answers.clear()
    calling = asyncio.create_task(client.send_realtime("laser", b"!"))
    await until(lambda: service.requests)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await client.close()


async def test_the_end_waits_for_a_stop_that_is_on_its_way(
    host: Host, service: Service, reporter: Reporter
) -> None:
    line = UrgentLine(dialer(host.client), reporter)
    line.start()
    service.answers.clear()
    sending = line.send(overtaking(b"!"), "laser", "s1")
    closing = asyncio.create_task(line.close())
    await until(lambda: service.requests)
    assert not closing.done()
    service.answers.set()
    await closing
    assert sending.result()
