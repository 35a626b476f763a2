"""What clients and devices do wrong, and whom it harms: nobody else."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from fakes.served_port import TIMEOUT_S, Call, Served, command, event, fails, opened, opening, said
from fakes.waiting import until
from usbshare.line.settings import Completion, LineSettings
from usbshare.rpc import first_message
from usbshare.rpc.tls import ClientBundle, ssl_context
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.api.servicer import SERVICE_NAME
from usbshare.serial_svc.line.port_config import PortConfig, QueueLimits
from usbshare.serial_svc.sessions import operations
from usbshare.sim.device import SimDevice


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


async def test_silence_ends_the_stream_of_the_controller_and_of_no_observer(served: Served) -> None:
    # As docs/protocol.md says.
    watcher, _ = await opened(served, mode=pb.SESSION_MODE_OBSERVE)
    call, hello = await opened(served)
    error = await fails(call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "the session is lost: no message received for " in (error.details() or "")
    again, taken_up = await opened(
        served, resume_token=hello.resume_token, resume_offset=hello.data_offset
    )
    assert taken_up.resumed
    await again.write(pb.SessionRequest(realtime=pb.Realtime(data=b"?")))
    assert b"<" in await said(watcher, b">")


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


async def test_requests_after_modem_lines_wait_and_modem_lines_do_not(
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
