"""The serial service's RPCs, called as other tools call them: generated stubs over real mTLS."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from fakes.certificates import make_site
from fakes.gates import gate_of
from fakes.waiting import until
from usbshare.line.settings import Completion, LineSettings
from usbshare.rpc import first_message
from usbshare.rpc.channel import open_channel, parse_target
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import ClientBundle, server_credentials, ssl_context
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import (
    SerialServiceStub,
    add_SerialServiceServicer_to_server,
)
from usbshare.trust.site import Site

if TYPE_CHECKING:  # only the type stubs know it
    from usbshare.serial.v1.serial_pb2_grpc import SerialServiceAsyncStub
from usbshare.serial_svc.api import watches
from usbshare.serial_svc.api.servicer import SERVICE_NAME, SerialServicer
from usbshare.serial_svc.line.port_config import PortConfig, QueueLimits
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.sessions import operations
from usbshare.serial_svc.sessions.events import QueueState
from usbshare.serial_svc.sessions.queue_state import QueueNews
from usbshare.sim.device import SimDevice

TIMEOUT_S = 30.0
Call = grpc.aio.StreamStreamCall[pb.SessionRequest, pb.SessionResponse]


@dataclass
class Served:
    """A running service and a client of its site."""

    registry: Registry
    site: Site
    target: str
    channel: grpc.aio.Channel
    stub: SerialServiceAsyncStub


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    site = make_site(tmp_path)
    registry = Registry(time.monotonic)
    registry.add(PortConfig("laser", "sim://grbl", "the big one"))
    server = make_server()
    add_SerialServiceServicer_to_server(SerialServicer(registry, gate_of(site)), server)
    await add_standard_services(server, [SERVICE_NAME])
    port = bind(server, "127.0.0.1:0", server_credentials(site))
    await server.start()
    target = f"127.0.0.1:{port}"
    channel = open_channel(parse_target(target), ClientBundle.load(site.client_bundle))
    yield Served(registry, site, target, channel, SerialServiceStub(channel))
    await channel.close()
    await registry.close()
    await server.stop(None)


def opening(**fields: object) -> pb.SessionRequest:
    chosen = {"port_id": "laser", "mode": pb.SESSION_MODE_CONTROL, "client_name": "test"}
    return pb.SessionRequest(open=pb.Open(**{**chosen, **fields}))  # type: ignore[arg-type]


async def opened(served: Served, **fields: object) -> tuple[Call, pb.Opened]:
    call: Call = served.stub.Session(timeout=TIMEOUT_S)
    await call.write(opening(**fields))
    return call, (await event(call, "opened")).opened


async def event(
    call: Call, kind: str, where: Callable[[pb.SessionResponse], bool] = lambda _: True
) -> pb.SessionResponse:
    """Return the next event of that kind for which the condition holds."""
    while True:
        response = await call.read()
        assert isinstance(response, pb.SessionResponse), "the stream ended"
        if response.WhichOneof("event") == kind and where(response):
            return response


async def said(call: Call, text: bytes) -> bytes:
    """Return what the device sent up to and with the text."""
    heard = bytearray()
    while text not in heard:
        heard += (await event(call, "data")).data.data
    return bytes(heard)


def command(data: bytes, offset: int = 0, number: int = 1, epoch: int = 1) -> pb.SessionRequest:
    return pb.SessionRequest(command=pb.Command(id=number, epoch=epoch, offset=offset, data=data))


async def fails(call: Call) -> grpc.aio.AioRpcError:
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call did not fail")


async def test_ports_are_listed_with_all_there_is_to_know(served: Served) -> None:
    (port,) = (await served.stub.ListPorts(pb.ListPortsRequest(), timeout=TIMEOUT_S)).ports
    assert (port.id, port.description, port.source) == ("laser", "the big one", "sim://grbl")
    assert port.state == pb.PORT_STATE_AVAILABLE
    assert port.configured_profile == pb.PROFILE_AUTO
    assert port.settings.baud == 115200
    assert not port.HasField("holder")


async def test_a_port_shows_who_holds_it(served: Served) -> None:
    call, hello = await opened(served)
    reply = await served.stub.GetPort(pb.GetPortRequest(port_id="laser"), timeout=TIMEOUT_S)
    assert reply.port.holder.session_id == hello.session_id
    assert reply.port.holder.identity == f"usbshare://{served.site.id}/operator"
    assert reply.port.holder.client_name == "test"
    call.cancel()


async def test_an_unknown_port_is_not_found(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await served.stub.GetPort(pb.GetPortRequest(port_id="lathe"), timeout=TIMEOUT_S)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
    assert failure.value.details() == "no port 'lathe' here; available: laser"


async def test_watching_ports_reports_added_changed_and_removed(served: Served) -> None:
    watch: Any = served.stub.WatchPorts(pb.WatchPortsRequest(), timeout=TIMEOUT_S)
    first = await watch.read()
    assert (first.change, first.port.id) == (pb.PORT_CHANGE_EXISTING, "laser")
    served.registry.add(PortConfig("second", "sim://marlin"))
    added = await watch.read()
    assert (added.change, added.port.id) == (pb.PORT_CHANGE_ADDED, "second")
    call, _ = await opened(served)
    changed = await watch.read()
    assert (changed.change, changed.port.id) == (pb.PORT_CHANGE_UPDATED, "laser")
    call.cancel()
    watch.cancel()


async def test_a_command_is_answered_by_machine_and_service(served: Served) -> None:
    call, hello = await opened(served)
    await call.write(command(b"$I\n", number=42, epoch=hello.port.epoch))
    result = (await event(call, "command_result")).command_result
    assert (result.id, result.outcome) == (42, pb.COMMAND_OUTCOME_WRITTEN)
    assert result.written_bytes == 3
    assert b"[VER:1.1h" in await said(call, b"ok\r\n")
    await call.write(pb.SessionRequest(close=pb.Close()))
    await event(call, "closed")
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_close_that_its_device_delays_does_not_affect_heartbeats_and_stops(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = served.registry.get("laser")
    port.config = replace(port.config, link_timeout_s=0.5)
    call, hello = await opened(served)
    await event(call, "port_changed", lambda r: r.port_changed.port.profile == pb.PROFILE_GRBL)
    write, written, takes = SimDevice.write, bytearray(), asyncio.Event()

    def stuck(device: SimDevice, data: bytes) -> int:
        taken = write(device, data) if takes.is_set() or data == b"!" else 0
        written.extend(data[:taken])
        return taken

    monkeypatch.setattr(SimDevice, "write", stuck)
    await call.write(command(b"G1 X1 F100\n", epoch=hello.port.epoch))
    await call.write(pb.SessionRequest(close=pb.Close()))
    for number in range(1, 11):
        await call.write(pb.SessionRequest(heartbeat=pb.Heartbeat(id=number)))
        await event(call, "heartbeat", lambda r, id_=number: r.heartbeat.id == id_)  # type: ignore[misc]
        await asyncio.sleep(0.1)
    assert port.line.counters.lost_sessions == 0
    await call.write(pb.SessionRequest(realtime=pb.Realtime(data=b"!")))
    await until(lambda: written == b"!")
    takes.set()
    port.line.writable()
    await event(call, "closed")
    assert written.startswith(b"!G1 X1 F100\n")
    assert port.line.counters.lost_sessions == 0


async def test_auto_recognises_the_firmware_and_says_so(served: Served) -> None:
    call, _ = await opened(served)
    await event(call, "port_changed", lambda r: r.port_changed.port.profile == pb.PROFILE_GRBL)
    await call.write(pb.SessionRequest(realtime=pb.Realtime(data=b"?")))
    assert b"<Idle|" in await said(call, b">")


async def test_a_second_controller_is_refused_and_an_observer_receives(served: Served) -> None:
    call, hello = await opened(served)
    second: Call = served.stub.Session(timeout=TIMEOUT_S)
    await second.write(opening())
    refused = asyncio.create_task(fails(second))
    while not refused.done():
        await call.write(pb.SessionRequest(heartbeat=pb.Heartbeat(id=1)))
        await asyncio.wait((refused,), timeout=0.2)
    error = await refused
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "port 'laser' is held by" in (error.details() or "")
    watcher, _ = await opened(served, mode=pb.SESSION_MODE_OBSERVE)
    await call.write(command(b"$G\n", epoch=hello.port.epoch))
    assert b"[GC:" in await said(watcher, b"ok\r\n")


async def test_silence_ends_the_stream_of_the_controller_and_of_no_observer(served: Served) -> None:
    # As docs/protocol.md says.
    watcher, _ = await opened(served, mode=pb.SESSION_MODE_OBSERVE)
    call, hello = await opened(served)
    error = await fails(call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "the session is lost: no message received for 2." in (error.details() or "")
    again, taken_up = await opened(
        served, resume_token=hello.resume_token, resume_offset=hello.data_offset
    )
    assert taken_up.resumed
    await again.write(pb.SessionRequest(realtime=pb.Realtime(data=b"?")))
    assert b"<" in await said(watcher, b">")


async def test_settings_take_effect_and_every_session_is_notified(served: Served) -> None:
    call, _ = await opened(served)
    watcher, _ = await opened(served, mode=pb.SESSION_MODE_OBSERVE)
    change = pb.Configure(id=9, settings=pb.SerialSettings(baud=9600))
    await call.write(pb.SessionRequest(configure=change))
    done = (await event(call, "operation_result")).operation_result
    assert (done.id, done.outcome) == (9, pb.OPERATION_OUTCOME_OK)
    assert (done.settings.baud, done.settings.data_bits) == (9600, 8)
    changed = await event(watcher, "settings_changed")
    assert changed.settings_changed.settings.baud == 9600


@pytest.mark.parametrize(
    ("request_", "outcome"),
    [
        (pb.SessionRequest(set_lines=pb.SetLines(id=1, dtr=True)), pb.OPERATION_OUTCOME_OK),
        (
            pb.SessionRequest(
                line_sequence=pb.LineSequence(
                    id=1, steps=[pb.LineStep(rts=True, delay=Duration(nanos=1000))]
                )
            ),
            pb.OPERATION_OUTCOME_OK,
        ),
        (
            pb.SessionRequest(send_break=pb.SendBreak(id=1, duration=Duration(nanos=1000))),
            pb.OPERATION_OUTCOME_OK,
        ),
        (
            pb.SessionRequest(hold_break=pb.HoldBreak(id=1, on=True)),
            pb.OPERATION_OUTCOME_OK,
        ),
        (pb.SessionRequest(flush=pb.Flush(id=1)), pb.OPERATION_OUTCOME_OK),
        (pb.SessionRequest(drain=pb.Drain(id=1)), pb.OPERATION_OUTCOME_OK),
    ],
)
async def test_operations_on_the_line_are_answered(
    served: Served, request_: pb.SessionRequest, outcome: pb.OperationOutcome.ValueType
) -> None:
    call, _ = await opened(served)
    await call.write(request_)
    done = (await event(call, "operation_result")).operation_result
    assert (done.id, done.outcome) == (1, outcome)


class Gate:
    """Lets what asks a device wait, as a sick adapter does; the bytes are its memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = asyncio.Event()
        self.asked: list[str] = []
        self.written = bytearray()
        write, configure = SimDevice.write, SimDevice.configure

        def written(device: SimDevice, data: bytes) -> int:
            taken = write(device, data)
            self.written += data[:taken]
            return taken

        def late(name: str) -> Callable[..., Any]:
            async def wait() -> Completion:
                await self.opened.wait()
                return Completion.OK

            def ask(*_: object, **__: object) -> asyncio.Task[Completion]:
                self.asked.append(name)
                return asyncio.create_task(wait())

            return ask

        async def configure_late(device: SimDevice, settings: LineSettings) -> LineSettings:
            self.asked.append("configure")
            await self.opened.wait()
            return await configure(device, settings)

        monkeypatch.setattr(SimDevice, "write", written)
        monkeypatch.setattr(SimDevice, "configure", configure_late)
        for name in ("set_lines", "set_break", "drain"):
            monkeypatch.setattr(SimDevice, name, late(name))


SLOW_REQUESTS = [
    pb.SessionRequest(set_lines=pb.SetLines(id=1, dtr=True)),
    pb.SessionRequest(line_sequence=pb.LineSequence(id=1, steps=[pb.LineStep(rts=True)])),
    pb.SessionRequest(send_break=pb.SendBreak(id=1, duration=Duration(nanos=1000))),
    pb.SessionRequest(hold_break=pb.HoldBreak(id=1, on=True)),
    pb.SessionRequest(drain=pb.Drain(id=1)),
    pb.SessionRequest(configure=pb.Configure(id=1, settings=pb.SerialSettings(baud=9600))),
]


@pytest.mark.parametrize("request_", SLOW_REQUESTS, ids=lambda each: each.WhichOneof("message"))
async def test_a_faulty_adapter_delays_neither_heartbeats_nor_stops_of_its_session(
    served: Served, request_: pb.SessionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, hello = await opened(served)
    await event(call, "port_changed", lambda r: r.port_changed.port.profile == pb.PROFILE_GRBL)
    gate = Gate(monkeypatch)
    await call.write(request_)
    await call.write(command(b"G1 X1 F100\n", epoch=hello.port.epoch))
    await call.write(pb.SessionRequest(heartbeat=pb.Heartbeat(id=7)))
    assert (await event(call, "heartbeat")).heartbeat.id == 7
    await call.write(pb.SessionRequest(realtime=pb.Realtime(data=b"!")))
    await until(lambda: gate.written == b"!")
    await until(lambda: gate.asked)
    gate.opened.set()
    done = (await event(call, "operation_result")).operation_result
    assert (done.id, done.outcome) == (1, pb.OPERATION_OUTCOME_OK)
    await until(lambda: gate.written == b"!G1 X1 F100\n")
    call.cancel()


async def test_what_follows_modem_lines_waits_for_them_and_they_for_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, hello = await opened(served)
    gate = Gate(monkeypatch)
    await call.write(pb.SessionRequest(drain=pb.Drain(id=1)))
    await until(lambda: gate.asked == ["drain"])
    await call.write(pb.SessionRequest(set_lines=pb.SetLines(id=2, dtr=True)))
    await until(lambda: gate.asked == ["drain", "set_lines"])
    await call.write(pb.SessionRequest(hold_break=pb.HoldBreak(id=3, on=True)))
    await call.write(command(b"$I\n", epoch=hello.port.epoch))
    await call.write(pb.SessionRequest(heartbeat=pb.Heartbeat(id=7)))
    await event(call, "heartbeat")
    assert gate.asked == ["drain", "set_lines"]
    gate.opened.set()
    answered = [(await event(call, "operation_result")).operation_result.id for _ in range(3)]
    assert sorted(answered) == [1, 2, 3]
    assert answered[-1] == 3
    await until(lambda: gate.written == b"$I\n")
    call.cancel()


async def test_a_break_that_is_not_ended_ends(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "LONGEST_BREAK_S", 0.01)
    call, _ = await opened(served)
    device = served.registry.get("laser").line.device
    assert isinstance(device, SimDevice)
    record = device.controller.record
    await call.write(pb.SessionRequest(hold_break=pb.HoldBreak(id=1, on=True)))
    await event(call, "operation_result")
    await until(lambda: [each.name for each in record.events][-2:] == ["break", "break end"])
    call.cancel()


async def test_a_drain_that_takes_too_long_says_so(served: Served) -> None:
    call, hello = await opened(served, settings=pb.SerialSettings(baud=300))
    await call.write(command(b"G1 X1 F100\n" * 20, epoch=hello.port.epoch))
    await call.write(pb.SessionRequest(drain=pb.Drain(id=1, timeout=Duration(nanos=1000))))
    answer = await event(call, "operation_result", lambda r: r.operation_result.id == 1)
    done = answer.operation_result
    assert done.outcome == pb.OPERATION_OUTCOME_TIMEOUT


async def test_credit_comes_with_the_first_answer_and_grows_with_use(served: Served) -> None:
    call: Call = served.stub.Session(timeout=TIMEOUT_S)
    await call.write(opening())
    first = await call.read()
    assert isinstance(first, pb.SessionResponse)
    assert first.credit.limit_offset == 256
    assert first.credit.limit_commands == 100
    await call.write(command(b"$I\n", epoch=first.opened.port.epoch))
    while True:
        response = await call.read()
        assert isinstance(response, pb.SessionResponse)
        if response.HasField("credit") and response.credit.consumed_offset == 3:
            break
    assert response.credit.limit_offset == 259


async def test_a_resume_names_the_hold_that_was_seen(served: Served) -> None:
    def asked(
        action: pb.StopAction.ValueType, epoch: int = 0, hold_number: int = 0
    ) -> Awaitable[pb.StopResponse]:
        request = pb.StopRequest(
            port_id="laser", action=action, epoch=epoch, hold_number=hold_number
        )
        return served.stub.Stop(request, timeout=TIMEOUT_S)

    call, _ = await opened(served)
    await event(call, "port_changed", lambda r: r.port_changed.port.profile == pb.PROFILE_GRBL)
    held = await asked(pb.STOP_ACTION_HOLD)
    assert held.hold_number == 1
    with pytest.raises(grpc.aio.AioRpcError) as older:
        await asked(pb.STOP_ACTION_RESUME)
    assert older.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "must be updated" in str(older.value.details())
    again = await asked(pb.STOP_ACTION_SAFETY_DOOR)
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await asked(pb.STOP_ACTION_RESUME, epoch=held.epoch, hold_number=held.hold_number)
    assert late.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    port = (await served.stub.GetPort(pb.GetPortRequest(port_id="laser"), timeout=TIMEOUT_S)).port
    assert (port.epoch, port.hold_number) == (again.epoch, again.hold_number)
    done = await asked(pb.STOP_ACTION_RESUME, epoch=port.epoch, hold_number=port.hold_number)
    assert done.sent == b"~"


async def test_an_emergency_stop_reports_latches_and_is_rearmed(served: Served) -> None:
    call, hello = await opened(served)
    await event(call, "port_changed", lambda r: r.port_changed.port.profile == pb.PROFILE_GRBL)
    request = pb.StopRequest(port_id="laser", action=pb.STOP_ACTION_EMERGENCY_STOP, reason="test")
    stop = await served.stub.Stop(request, timeout=TIMEOUT_S)
    assert (stop.sent, stop.latched, stop.epoch) == (b"\x18", True, hello.port.epoch + 1)
    await call.write(command(b"$X\n", epoch=hello.port.epoch))
    result = (await event(call, "command_result")).command_result
    assert result.outcome == pb.COMMAND_OUTCOME_FENCED
    await call.write(command(b"$X\n", offset=3, number=2, epoch=stop.epoch))
    result = (await event(call, "command_result")).command_result
    assert result.outcome == pb.COMMAND_OUTCOME_REFUSED
    assert "re-arm" in result.message
    rearm = pb.RearmRequest(port_id="laser", epoch=stop.epoch)
    await served.stub.Rearm(rearm, timeout=TIMEOUT_S)
    await call.write(command(b"$X\n", offset=6, number=3, epoch=stop.epoch))
    result = (await event(call, "command_result")).command_result
    assert result.outcome == pb.COMMAND_OUTCOME_WRITTEN


async def test_realtime_bytes_need_no_session(served: Served) -> None:
    call, _ = await opened(served, mode=pb.SESSION_MODE_OBSERVE)
    await event(call, "port_changed", lambda r: r.port_changed.port.profile == pb.PROFILE_GRBL)
    await served.stub.SendRealtime(
        pb.SendRealtimeRequest(port_id="laser", data=b"?"), timeout=TIMEOUT_S
    )
    assert b"<Idle|" in await said(call, b">")


async def test_stats_count_what_happened(served: Served) -> None:
    call, hello = await opened(served)
    await call.write(command(b"$I\n", epoch=hello.port.epoch))
    await event(call, "command_result")
    watch: Any = served.stub.WatchStats(pb.WatchStatsRequest(port_id="laser"), timeout=TIMEOUT_S)
    stats = await watch.read()
    assert stats.clients == 1
    assert stats.uptime.ToNanoseconds() > 0
    (port,) = stats.ports
    assert (port.port_id, port.written_bytes, port.written_commands) == ("laser", 3, 1)
    assert port.queue.band == pb.QUEUE_BAND_NORMAL
    assert port.queue_time.count == 1
    watch.cancel()


async def test_the_parts_of_a_round_trip_are_measured_and_shown_to_all_who_watch(
    served: Served,
) -> None:
    call, _ = await opened(served)
    await event(call, "port_changed", lambda r: r.port_changed.port.profile == pb.PROFILE_GRBL)
    beat = pb.Heartbeat(id=1)
    beat.times.queue_time.count, beat.times.queue_time.recent_count = 8, 3
    beat.times.queue_time.p95.nanos = 7_000_000
    beat.times.network_time.p95.seconds = -5  # what cannot be is shown as what can
    await call.write(pb.SessionRequest(heartbeat=beat))
    reply = (await event(call, "heartbeat")).heartbeat
    assert reply.HasField("host_time")
    assert 0 < reply.host_time.ToNanoseconds() < TIMEOUT_S * 1e9
    await call.write(pb.SessionRequest(realtime=pb.Realtime(data=b"?")))
    await said(call, b">")
    watch: Any = served.stub.WatchStats(pb.WatchStatsRequest(port_id="laser"), timeout=TIMEOUT_S)
    (port,) = (await watch.read()).ports
    watch.cancel()
    times = port.holder_times
    assert (times.queue_time.recent_count, times.queue_time.p95.nanos) == (3, 7_000_000)
    assert times.network_time.p95.ToNanoseconds() == 0
    assert not times.HasField("wake_time")
    assert port.answer_time.count >= 1
    assert port.answer_time.recent_count >= 1
    assert port.answer_time.p95.ToNanoseconds() > 0
    assert port.drain_time.count >= 1
    assert port.send_time.count >= 1
    found = await served.stub.GetPort(pb.GetPortRequest(port_id="laser"), timeout=TIMEOUT_S)
    assert found.host_time.ToNanoseconds() > 0


async def test_health_and_reflection_serve_generic_clients(served: Served) -> None:
    health: Any = health_pb2_grpc.HealthStub(served.channel)
    request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
    reply = await health.Check(request, timeout=TIMEOUT_S)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
    channel: Any = served.channel
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = reflection.ServerReflectionInfo(timeout=TIMEOUT_S)
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    names = {service.name for service in (await call.read()).list_services_response.service}
    assert {SERVICE_NAME, "grpc.health.v1.Health"} <= names
    call.cancel()


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (pb.SessionRequest(heartbeat=pb.Heartbeat(id=1)), "must be `open`"),
        (pb.SessionRequest(), "must be `open`"),
        (opening(mode=pb.SESSION_MODE_UNSPECIFIED), "open.mode is SESSION_MODE_UNSPECIFIED"),
        (opening(mode=77), "open.mode is 77"),
        (opening(client_name="x" * 65), "open.client_name"),
        (opening(client_name="a\x1b[31m"), "open.client_name"),
    ],
)
async def test_a_wrong_first_message_harms_no_other_client(
    served: Served, request_: pb.SessionRequest, says: str
) -> None:
    good, hello = await opened(served)
    bad: Call = served.stub.Session(timeout=TIMEOUT_S)
    await bad.write(request_)
    error = await fails(bad)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in (error.details() or "")
    await still_serves(good, hello)


async def test_a_session_that_never_opens_ends(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_message, "TIMEOUT_S", 0.05)
    error = await fails(served.stub.Session(timeout=TIMEOUT_S))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no `open` message arrived within 0.05 s" in (error.details() or "")


@pytest.mark.parametrize("reason", ["a\nb", "ä" * 5000], ids=["line break", "too long"])
async def test_a_stop_is_not_refused_for_its_reason(
    served: Served, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    request = pb.StopRequest(port_id="laser", action=pb.STOP_ACTION_HOLD, reason=reason)
    response = await served.stub.Stop(request, timeout=TIMEOUT_S)
    assert response.sent.startswith(b"!")
    (said,) = [text for text in caplog.messages if text.startswith("hold on port 'laser'")]
    assert said.isprintable()
    assert len(said.encode()) < 500


async def still_serves(call: Call, hello: pb.Opened) -> None:
    await call.write(command(b"$I\n", epoch=hello.port.epoch))
    assert b"[VER:" in await said(call, b"ok\r\n")


@pytest.mark.parametrize(
    ("request_", "code", "says"),
    [
        (opening(), grpc.StatusCode.INVALID_ARGUMENT, "only as the first message"),
        (command(b""), grpc.StatusCode.INVALID_ARGUMENT, "command.data has 0 bytes"),
        (command(b"x" * 4097), grpc.StatusCode.INVALID_ARGUMENT, "4097 bytes"),
        (command(b"x", offset=1), grpc.StatusCode.INVALID_ARGUMENT, "expected 0"),
        (command(b"x" * (1 << 20)), grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"),
        (
            pb.SessionRequest(send_break=pb.SendBreak(duration=Duration(seconds=60))),
            grpc.StatusCode.INVALID_ARGUMENT,
            "send_break.duration is 60 s; 0 s to 5 s are allowed",
        ),
        (
            pb.SessionRequest(realtime=pb.Realtime(data=b"")),
            grpc.StatusCode.INVALID_ARGUMENT,
            "realtime.data has 0 bytes",
        ),
    ],
)
async def test_a_wrong_later_message_ends_its_own_session_only(
    served: Served, request_: pb.SessionRequest, code: grpc.StatusCode, says: str
) -> None:
    served.registry.add(PortConfig("other", "sim://grbl"))
    good, hello = await opened(served, port_id="other")
    bad, _ = await opened(served)
    await bad.write(request_)
    error = await fails(bad)
    assert error.code() is code
    assert says in (error.details() or "")
    await still_serves(good, hello)
    fresh, hello = await opened(served)
    await still_serves(fresh, hello)


async def test_random_bytes_harm_no_client(served: Served) -> None:
    good, hello = await opened(served)
    host, port = served.target.rsplit(":", 1)
    for context in (None, ssl_context(ClientBundle.load(served.site.client_bundle))):
        if isinstance(context, ssl.SSLContext):
            context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.write(os.urandom(20_000))
        await asyncio.wait_for(reader.read(), TIMEOUT_S)
        writer.close()
    raw = served.channel.stream_stream(
        f"/{SERVICE_NAME}/Session",
        request_serializer=bytes,
        response_deserializer=bytes,
    )
    garbage = raw(timeout=TIMEOUT_S)
    await garbage.write(b"\xff" * 500)
    with pytest.raises(grpc.aio.AioRpcError):
        await garbage.read()
    await still_serves(good, hello)


async def test_a_client_that_ignores_credit_is_held_and_loses_nothing(served: Served) -> None:
    port = PortConfig("small", "sim://grbl", queue=QueueLimits(max_commands=4, max_bytes=512))
    served.registry.add(port)
    call, hello = await opened(served, port_id="small")
    line, count = b"G4 P0\n", 300
    for number in range(count):
        await call.write(command(line, number * len(line), number, hello.port.epoch))
    done = 0
    while done < count:
        await event(call, "command_result")
        done += 1


async def test_bytes_of_a_client_that_vanishes_are_not_written_later(served: Served) -> None:
    call, hello = await opened(served, settings=pb.SerialSettings(baud=300))
    await call.write(command(b"G4 P0\n" * 40, epoch=hello.port.epoch))
    call.cancel()
    laser = served.registry.get("laser")
    await until(lambda: laser.stops.machine.holds.needs_person)
    assert laser.line.scheduler.commands
    await opened(served)
    assert not laser.stops.machine.holds.needs_person
    assert laser.line.scheduler.commands == 0


async def test_one_observer_too_many_is_refused_and_has_room_once_another_left(
    served: Served,
) -> None:
    served.registry.add(PortConfig("mill", "sim://grbl", queue=QueueLimits(most_observers=2)))
    few: dict[str, object] = {"port_id": "mill", "mode": pb.SESSION_MODE_OBSERVE}
    first, _ = await opened(served, **few)
    await opened(served, **few)
    one_more: Call = served.stub.Session(timeout=TIMEOUT_S)
    await one_more.write(opening(**few))
    error = await fails(one_more)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "port 'mill' has 2 observers, the maximum" in str(error.details())
    _control, _ = await opened(served, port_id="mill")  # control is no observer
    first.cancel()
    await until(lambda: served.registry.get("mill").roster.observers == 1)
    await opened(served, **few)


@pytest.mark.parametrize("method", ["WatchStats", "WatchMachine"])
async def test_what_many_watch_is_made_once_and_more_rarely(
    served: Served, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    made = 0
    state = QueueNews.state  # is in either message

    def counting(self: QueueNews) -> QueueState:
        nonlocal made
        made += 1
        return state(self)

    monkeypatch.setattr(QueueNews, "state", counting)
    monkeypatch.setattr(watches, "OLDEST_S", 3600.0)
    request = getattr(pb, f"{method}Request")(port_id="laser", interval=Duration(nanos=100_000_000))
    call = getattr(served.stub, method)
    calls: list[Any] = [call(request, timeout=TIMEOUT_S) for _ in range(20)]
    for _ in range(2):
        assert grpc.aio.EOF not in [await each.read() for each in calls]
    assert made == 1
    monkeypatch.setattr(watches, "MOST_MESSAGES_PER_S", 20.0)  # one a second for each
    for watch in calls:
        await watch.read()  # what was waited for by the former rate
        await watch.read()
    began = time.monotonic()
    await calls[0].read()
    await calls[0].read()
    assert time.monotonic() - began > 0.5


async def watched_machine(served: Served, **fields: Any) -> Any:
    """Return what the first response says of the laser."""
    call: Any = served.stub.WatchMachine(
        pb.WatchMachineRequest(port_id="laser", **fields), timeout=TIMEOUT_S
    )
    try:
        return await call.read()
    finally:
        call.cancel()


async def test_an_unused_machine_is_asked_and_reports_at_once(served: Served) -> None:
    assert not (await watched_machine(served)).HasField("report")  # watching opens no device
    assert not served.registry.get("laser").line.is_open
    session, _ = await opened(served)
    await session.write(pb.SessionRequest(close=pb.Close()))
    await until(lambda: served.registry.get("laser").roster.control is None)
    response = await watched_machine(served)
    report = response.report
    assert (report.state, report.HasField("substate")) == ("Idle", False)
    assert list(report.machine_position) == list(report.work_position) == [0.0, 0.0, 0.0]
    assert list(report.work_offset) == [0.0, 0.0, 0.0]
    assert (report.feed, report.spindle) == (0.0, 0.0)
    assert report.text.startswith("<Idle|MPos:0.000,0.000,0.000|")
    assert report.age.seconds == 0
    assert response.queue.commands == 0
    assert not response.HasField("holder_round_trip")


async def test_no_report_is_requested_while_a_program_has_control(served: Served) -> None:
    session, _ = await opened(served)
    port = served.registry.get("laser")
    written = port.line.counters.written_bytes
    request = pb.WatchMachineRequest(port_id="laser", interval=Duration(nanos=100_000_000))
    watch: Any = served.stub.WatchMachine(request, timeout=TIMEOUT_S)
    for _ in range(5):
        assert not (await watch.read()).HasField("report")
    assert port.line.counters.written_bytes == written
    beat = pb.Heartbeat(id=1, round_trip=Duration(nanos=12_000_000))
    await session.write(pb.SessionRequest(heartbeat=beat))
    await session.write(pb.SessionRequest(realtime=pb.Realtime(data=b"?")))
    while not (response := await watch.read()).HasField("report"):
        pass
    assert response.report.state == "Idle"
    assert response.holder_round_trip.nanos == 12_000_000
    watch.cancel()
