"""Whatever clients send, in whatever order: the service lives, says why not, harms nobody else.

A real server over mTLS; beside the port that is fuzzed another one has a session, whose machine
must answer throughout. They run in a loop and thread of their own, since the tests' loop stands
still while hypothesis thinks: the other client would seem dead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from fakes.certificates import make_site
from fakes.gates import gate_of
from fakes.loop_thread import LoopThread
from fakes.protobuf_messages import messages
from usbshare.rpc.channel import open_channel, parse_target
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import ClientBundle, server_credentials
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import (
    SerialServiceStub,
    add_SerialServiceServicer_to_server,
)
from usbshare.trust.site import Site

if TYPE_CHECKING:  # only the type stubs know it
    from usbshare.serial.v1.serial_pb2_grpc import SerialServiceAsyncStub
from usbshare.line.profiles import GRBL
from usbshare.serial_svc.api.servicer import SERVICE_NAME, SerialServicer
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.registry import Registry

TIMEOUT_S = 30.0
LONGEST_SESSION_S = 0.5
OUR_BUGS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
CUT_OFF = "Internal error from Core"  # what this client calls a write that its `cancel` ended
Call = Any

openings = st.builds(
    lambda mode, ordering, results: pb.SessionRequest(
        open=pb.Open(port_id="laser", mode=mode, ordering=ordering, results=results)
    ),
    st.sampled_from([mode for mode in pb.SessionMode.values() if mode]),
    st.sampled_from([pb.ORDERING_PROGRAM, pb.ORDERING_PRIORITY]),
    st.sampled_from([pb.RESULT_POLICY_ALL, pb.RESULT_POLICY_FAILURES]),
)
lines = st.builds(
    lambda data: pb.SessionRequest(command=pb.Command(data=data)),
    st.sampled_from([b"$I\n", b"G1 X1 F600\n", b"G4P0.1\n", b"x" * 4096, b"\x18", b"$H\n"]),
)
requests = st.one_of(messages(pb.SessionRequest), lines)
# What one call takes, of the proto itself, so that a new one is fuzzed as well.
METHODS = [
    method
    for method in pb.DESCRIPTOR.services_by_name["SerialService"].methods
    if not method.client_streaming
]
calls = st.fixed_dictionaries(
    {method.name: messages(GetMessageClass(method.input_type)) for method in METHODS}
)
conversations = st.tuples(st.one_of(openings, openings, requests), st.lists(requests, max_size=25))


class Errors(logging.Handler):
    """What our code and asyncio log as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(("usbshare", "asyncio")):
            self.records.append(record)


@dataclass
class Served:
    """A running service, its client, and a session on the port that nobody fuzzes."""

    channel: grpc.aio.Channel
    stub: SerialServiceAsyncStub
    bystander: Call
    sent_bytes: int = 0
    sent_commands: int = 0
    epoch: int = 0
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)  # gRPC takes one write at a time

    async def say(self, request: pb.SessionRequest) -> None:
        """Send something on the other session."""
        async with self.writing:
            await self.bystander.write(request)

    async def live(self) -> None:
        """Show for ever that the other session's client lives."""
        while True:
            await self.say(pb.SessionRequest(heartbeat=pb.Heartbeat(id=1)))
            await asyncio.sleep(0.25)

    async def bystander_is_well(self) -> None:
        """Let the other session's machine answer a line."""
        self.sent_commands += 1
        command = pb.Command(
            id=self.sent_commands, epoch=self.epoch, offset=self.sent_bytes, data=b"$I\n"
        )
        self.sent_bytes += 3
        await self.say(pb.SessionRequest(command=command))
        heard = b""
        async with asyncio.timeout(TIMEOUT_S):
            while not heard.endswith(b"ok\r\n"):
                response = await self.bystander.read()
                assert response is not grpc.aio.EOF
                heard += response.data.data


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    made = LoopThread()
    yield made
    made.end()


@pytest.fixture(scope="module")
def served(loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with loop.within(serving(make_site(tmp_path_factory.mktemp("site")))) as made:
        yield made


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[Served]:
    """Serve both ports, with a session on the one."""
    registry = Registry(time.monotonic)
    registry.add(PortConfig("laser", "sim://grbl"))
    registry.add(PortConfig("quiet", "sim://grbl", profile=GRBL))
    server = make_server()
    add_SerialServiceServicer_to_server(SerialServicer(registry, gate_of(site)), server)
    await add_standard_services(server, [SERVICE_NAME])
    port = bind(server, "127.0.0.1:0", server_credentials(site))
    await server.start()
    bundle = ClientBundle.load(Path(site.client_bundle))
    channel = open_channel(parse_target(f"127.0.0.1:{port}"), bundle)
    stub: SerialServiceAsyncStub = SerialServiceStub(channel)
    bystander: Call = stub.Session()
    opening = pb.Open(port_id="quiet", mode=pb.SESSION_MODE_CONTROL, client_name="bystander")
    await bystander.write(pb.SessionRequest(open=opening))
    opened = await bystander.read()
    made = Served(channel, stub, bystander, epoch=opened.opened.port.epoch)
    beating = asyncio.create_task(made.live())
    yield made
    beating.cancel()
    bystander.cancel()
    await channel.close()
    await registry.close()
    await server.stop(None)


@pytest.fixture
def errors() -> Iterator[Errors]:
    handler = Errors()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def spare_the_bystander(request: Any) -> None:
    """Let a request be about another port: stopping, taking or resetting that one is allowed."""
    if getattr(request, "port_id", "") == "quiet":
        request.port_id = ""


async def converse(call: Call, requests: list[pb.SessionRequest], offsets: bool) -> None:
    """Send the requests, the commands among them at the right offset if asked."""
    offset = 0
    for request in requests:
        if offsets and request.WhichOneof("message") == "command":
            request.command.offset = offset
            request.command.epoch = 1 << 60
            offset += len(request.command.data)
        await call.write(request)
    await call.done_writing()


async def ended(call: Call) -> grpc.StatusCode:
    """Read to the end; a session that does not end by itself is cut off."""
    with suppress(grpc.aio.AioRpcError, TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(LONGEST_SESSION_S):
            while await call.read() is not grpc.aio.EOF:
                pass
    call.cancel()
    return await asyncio.wait_for(call.code(), TIMEOUT_S)


async def talk(served: Served, requests: list[pb.SessionRequest], offsets: bool) -> None:
    """Send these on a session of its own: it ends, and harms nobody."""
    call: Call = served.stub.Session(timeout=TIMEOUT_S)
    writing = asyncio.create_task(converse(call, requests, offsets))
    code = await ended(call)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    details = await call.details()
    assert code not in OUR_BUGS or details == CUT_OFF, f"{code}: {details}"
    await served.bystander_is_well()


async def ask(served: Served, requests: dict[str, Message]) -> None:
    """Make the calls: each is answered, and harms nobody."""
    for method in METHODS:
        call: Call = getattr(served.stub, method.name)(requests[method.name], timeout=TIMEOUT_S)
        with suppress(grpc.aio.AioRpcError):
            await (call.read() if method.server_streaming else call)
        if method.server_streaming:
            call.cancel()
        assert await call.code() not in OUR_BUGS, f"{method.name}: {await call.details()}"
    await served.bystander_is_well()


async def send_junk(served: Served, messages: list[bytes]) -> None:
    """Send these bytes as the messages of a session: it ends, and harms nobody."""
    method = f"/{SERVICE_NAME}/Session"
    call: Call = served.channel.stream_stream(method)(timeout=TIMEOUT_S)
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        for message in messages:
            await call.write(message)
        await call.done_writing()
    await ended(call)
    await served.bystander_is_well()


@given(conversation=conversations, offsets=st.booleans())
def test_sessions_of_any_messages(
    loop: LoopThread,
    served: Served,
    errors: Errors,
    conversation: tuple[pb.SessionRequest, list[pb.SessionRequest]],
    offsets: bool,
) -> None:
    first, rest = conversation
    if first.HasField("open"):
        spare_the_bystander(first.open)
    loop.run(talk(served, [first, *rest], offsets))
    assert [record.getMessage() for record in errors.records] == []


@given(requests=calls)
def test_calls_of_any_messages(
    loop: LoopThread, served: Served, errors: Errors, requests: dict[str, Message]
) -> None:
    for each in requests.values():
        spare_the_bystander(each)
    loop.run(ask(served, requests))
    assert [record.getMessage() for record in errors.records] == []


@given(junk=st.lists(st.binary(max_size=60), min_size=1, max_size=4), opens=st.booleans())
def test_bytes_that_are_no_messages(
    loop: LoopThread, served: Served, errors: Errors, junk: list[bytes], *, opens: bool
) -> None:
    opening = pb.Open(port_id="laser", mode=pb.SESSION_MODE_CONTROL)
    start = [pb.SessionRequest(open=opening).SerializeToString()] if opens else []
    loop.run(send_junk(served, [*start, *junk]))
    assert [record.getMessage() for record in errors.records] == []


def test_bytes_that_are_no_message_are_the_clients_fault(loop: LoopThread, served: Served) -> None:
    async def refused() -> Any:
        method = f"/{SERVICE_NAME}/Session"
        call: Call = served.channel.stream_stream(method)(timeout=TIMEOUT_S)
        await call.write(b"\xff")
        return await call.code()

    assert loop.run(refused()) is grpc.StatusCode.INVALID_ARGUMENT
