"""Over the wire: a reset releases the latch of a lost job only if it was sent after that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from fakes.every_rpc import session
from fakes.guarded_host import GuardedHost, guarded_host
from usbshare.bridge.stop.delivery import Delivery
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.messages import SendRealtime
from usbshare.serial.v1 import serial_pb2 as serial
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub

if TYPE_CHECKING:
    from usbshare.serial.v1.serial_pb2_grpc import SerialServiceAsyncStub

TIMEOUT_S = 20.0
POLICY = '[[grants]]\nwho = ["ann"]\nrights = ["control"]\n'
RESET = b"\x18"

Send = Callable[[GuardedHost, Any, serial.Opened, int], Awaitable[None]]


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[GuardedHost]:
    async with guarded_host(tmp_path, POLICY) as running:
        yield running


async def in_the_stream(host: GuardedHost, call: Any, opened: serial.Opened, epoch: int) -> None:
    realtime = serial.Realtime(data=RESET, epoch=epoch, first_number=1)
    await call.write(serial.SessionRequest(realtime=realtime))


class Living:
    """One connection, which works."""

    def __init__(self, client: SerialClient) -> None:
        self.living = [client]

    def hurry(self) -> None:
        """Nothing is waited for."""

    async def news(self, wait_s: float) -> None:
        """There is none."""


async def another_way(host: GuardedHost, call: Any, opened: serial.Opened, epoch: int) -> None:
    client = SerialClient(host.targets["serial"], host.bundle("ann"))
    delivery = Delivery(Living(client), "laser", opened.session_id)
    await delivery.once(client, SendRealtime(RESET, epoch, 1))
    await client.close()


@pytest.mark.parametrize("way", [in_the_stream, another_way])
@pytest.mark.parametrize("age", ["before", "unknown", "since"])
async def test_a_reset_re_arms_after_a_lost_job_only_if_it_was_sent_since(
    host: GuardedHost, way: Send, age: str
) -> None:
    stub: SerialServiceAsyncStub = SerialServiceStub(host.channel("serial", "ann"))
    call: Any = stub.Session(timeout=TIMEOUT_S)
    await call.write(session(serial.SESSION_MODE_CONTROL)("laser"))
    opened = (await call.read()).opened
    before = opened.port.epoch
    await call.write(serial.SessionRequest(lost=serial.Lost(bytes=26)))
    latched = await changed(call, lambda port: port.latched)
    epochs = {"before": before, "unknown": 0, "since": latched.epoch}
    await way(host, call, opened, epochs[age])
    await has_come(call, 1)
    port = (await stub.GetPort(serial.GetPortRequest(port_id="laser"), timeout=TIMEOUT_S)).port
    assert port.latched is (age != "since")
    assert port.epoch == latched.epoch + (age == "before")
    call.cancel()


async def test_a_resume_of_an_old_epoch_is_refused_and_says_why(host: GuardedHost) -> None:
    stub: SerialServiceAsyncStub = SerialServiceStub(host.channel("serial", "ann"))
    stop = serial.StopRequest(port_id="laser", action=serial.STOP_ACTION_EMERGENCY_STOP)
    epoch = (await stub.Stop(stop, timeout=TIMEOUT_S)).epoch
    request = serial.SendRealtimeRequest(port_id="laser", data=b"~", epoch=epoch - 1)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.SendRealtime(request, timeout=TIMEOUT_S)
    assert failure.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert f"epoch {epoch - 1}" in str(failure.value.details())


async def has_come(call: Any, number: int) -> None:
    """Return once the service has the real-time byte of that number."""
    await call.write(serial.SessionRequest(heartbeat=serial.Heartbeat(id=1)))
    while True:
        response = await call.read()
        if response.WhichOneof("event") == "heartbeat":
            assert response.heartbeat.realtime_number == number
            return


async def changed(call: Any, where: Callable[[serial.Port], bool]) -> serial.Port:
    while True:
        response = await call.read()
        if response.WhichOneof("event") == "port_changed" and where(response.port_changed.port):
            found: serial.Port = response.port_changed.port
            return found
