"""The serial service's RPCs, called as other tools call them: generated stubs over real mTLS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from fakes.served_port import TIMEOUT_S, Call, Served, command, event, fails, opened, opening, said
from fakes.waiting import until
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.api import watches
from usbshare.serial_svc.api.servicer import SERVICE_NAME
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.sessions.events import QueueState
from usbshare.serial_svc.sessions.queue_state import QueueNews


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


@pytest.mark.parametrize("method", ["WatchStats", "WatchMachine"])
async def test_state_for_many_watchers_is_made_once_and_less_often(
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
