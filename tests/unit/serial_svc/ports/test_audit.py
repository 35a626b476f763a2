"""What the audit log is told of a port."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fakes.audit import FakeAudit
from fakes.clock import FakeClock
from fakes.device import FakeDevice
from fakes.waiting import until
from usbshare.audit import bursts
from usbshare.audit.throttle import MOST_A_WINDOW, AuditThrottle
from usbshare.base.errors import DeviceError, NotSupportedError
from usbshare.line.profiles import GRBL, RAW, StopAction
from usbshare.line.settings import LineSettings, SettingsChange
from usbshare.rpc.pump import StreamPump
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.audit import PortAudit
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions import audit as audit_module
from usbshare.serial_svc.sessions.client import Client, Command, Mode, Resumption
from usbshare.serial_svc.sessions.operations import LineOperations
from usbshare.serial_svc.sessions.session import Session
from usbshare.serial_svc.stop import stop_path

FAST = LineSettings(baud=12_000_000)
BOB, BOBS_ADDRESS = "usbshare://site/bob", "192.0.2.7:4"


class Bench:
    """A port on a fake device, whose audit log remembers."""

    def __init__(self) -> None:
        self.audit = FakeAudit()
        self.device = FakeDevice(FAST)
        config = PortConfig("laser", "fake", profile=GRBL, settings=FAST, resume_window_s=60)
        port_audit = PortAudit("laser", time.monotonic, self.audit)
        self.port = SerialPort(
            config, lambda _: self.device, time.monotonic, lambda: None, audit=port_audit
        )

    async def open(self, mode: Mode = Mode.CONTROL) -> Session:
        client = Client("s1", BOB, "LightBurn", BOBS_ADDRESS, mode)
        return await self.port.open_session(client)

    def last(self, event: str) -> dict[str, Any]:
        return self.audit.last(event)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.port.close()


def command(data: bytes, offset: int = 0) -> Command:
    return Command(1, None, 1, offset, data)


async def ignore(event: object) -> None:
    """Take what a pump writes."""


async def test_a_session_in_control_is_recorded_from_beginning_to_end(bench: Bench) -> None:
    session = await bench.open()
    await session.close()
    assert bench.audit.events == [
        "device opened",
        "session opened",
        "control taken",
        "control given up",
        "session closed",
    ]
    opened = bench.last("session opened")
    assert (opened["who"], opened["address"], opened["port"]) == (BOB, BOBS_ADDRESS, "laser")
    assert (opened["session"], opened["mode"], opened["client"]) == ("s1", "control", "LightBurn")


async def test_an_observer_takes_no_control_and_sends_nothing(bench: Bench) -> None:
    session = await bench.open(Mode.OBSERVE)
    await session.command(command(b"G1X1\n"))
    await session.close()
    assert bench.audit.events == ["device opened", "session opened", "session closed"]
    assert bench.last("session opened")["mode"] == "observe"


async def test_a_client_that_opens_sessions_constantly_does_not_fill_the_log(bench: Bench) -> None:
    await (await bench.open(Mode.OBSERVE)).close()
    throttle = AuditThrottle(FakeClock())
    kinds = [{"time": "", **each} for each in bench.audit.entries if each["who"]]
    written = [line for _ in range(100) for each in kinds for line in throttle.taken(each)]
    assert kinds
    assert len(written) == MOST_A_WINDOW * len(kinds)


async def test_sent_bytes_are_reported_when_the_session_ends(bench: Bench) -> None:
    session = await bench.open()
    await session.command(command(b"G1X1\n"))
    await session.command(command(b"M5\n", 5))
    await session.close()
    sent = bench.last("sent")
    assert (sent["who"], sent["commands"], sent["bytes"], sent["lines"]) == (BOB, 2, 8, 2)
    assert sent["first_sha256"] == hashlib.sha256(b"G1X1").hexdigest()
    assert sent["last_sha256"] == hashlib.sha256(b"M5").hexdigest()
    assert sent["contents"] is None
    assert bench.audit.events.index("sent") < bench.audit.events.index("control given up")


async def test_sent_bytes_are_reported_after_a_quiet_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bursts, "QUIET_S", 0.02)
    monkeypatch.setattr(audit_module, "QUIET_S", 0.02)
    session = await bench.open()
    await session.command(command(b"G1X1\n"))
    await until(lambda: bench.audit.events.count("sent") == 1)
    await session.command(command(b"G1X2\n", 5))
    await until(lambda: bench.audit.events.count("sent") == 2)
    assert "goes_on" not in bench.last("sent")


async def test_a_long_job_is_reported_in_parts() -> None:
    clock, audit = FakeClock(), FakeAudit()
    sending = PortAudit("laser", clock, audit).sending(
        Client("s1", BOB, "", BOBS_ADDRESS, Mode.CONTROL)
    )
    for _ in range(5):
        sending.sent(b"G1X1\n")
        clock.advance(bursts.LONGEST_S / 3)
    sending.end()
    sending.end()
    assert [entry.get("goes_on", False) for entry in audit.entries] == [True, False]
    assert [entry["commands"] for entry in audit.entries] == [4, 1]


async def test_contents_are_recorded_only_if_requested() -> None:
    audit = FakeAudit()
    port_audit = PortAudit("laser", time.monotonic, audit, keeps_contents=True)
    sending = port_audit.sending(Client("s1", BOB, "", BOBS_ADDRESS, Mode.CONTROL))
    sending.sent(b"G1X1\nM5\n")
    sending.end()
    assert audit.last("sent")["contents"] == ["G1X1", "M5"]


async def test_a_stop_is_reported_with_its_times_and_its_latch_and_so_is_the_re_arming(
    bench: Bench,
) -> None:
    await bench.port.line.ensure_open()
    await bench.port.stops.path.stop(StopAction.EMERGENCY_STOP, BOB, "smoke", BOBS_ADDRESS)
    bench.port.stops.path.rearm(BOB, bench.port.line.latch.epoch, BOBS_ADDRESS)
    bench.port.stops.path.rearm(BOB, bench.port.line.latch.epoch, BOBS_ADDRESS)
    stop = bench.last("stop")
    assert (stop["who"], stop["address"], stop["reason"]) == (BOB, BOBS_ADDRESS, "smoke")
    assert (stop["action"], stop["latched"], stop["epoch"]) == ("emergency stop", True, 2)
    assert bytes.fromhex(stop["sent"]).endswith(b"\x18")
    assert 0 <= stop["write_ms"] <= stop["drain_ms"]
    assert bench.audit.events.count("re-armed") == 1
    assert bench.last("re-armed")["who"] == BOB


async def test_a_stop_that_the_device_does_not_take_is_reported_as_failed(bench: Bench) -> None:
    bench.device.fails_to_open = "it is gone"
    with pytest.raises(DeviceError):
        await bench.port.stops.path.stop(StopAction.HOLD, BOB, "smoke", BOBS_ADDRESS)
    assert "it is gone" in bench.last("stop failed")["error"]
    bench.port.line.firmware.profile = RAW
    with pytest.raises(NotSupportedError):
        await bench.port.stops.path.stop(StopAction.HOLD, BOB)
    assert bench.audit.events.count("stop failed") == 2


async def hang_up_on_a_stop(bench: Bench, is_time: Callable[[], object]) -> None:
    stopping = asyncio.create_task(
        bench.port.stops.path.stop(StopAction.EMERGENCY_STOP, BOB, "smoke", BOBS_ADDRESS),
        name="stop",
    )
    await until(is_time)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_a_stop_is_reported_though_its_caller_hangs_up_before_its_bytes_have_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stop_path, "DRAIN_TIMEOUT_S", 60)
    await bench.port.line.ensure_open()
    monkeypatch.setattr(bench.device, "unsent_bytes", lambda: 1 << 20)
    await hang_up_on_a_stop(bench, lambda: bench.port.line.counters.stop_write_time.count)
    stop = bench.last("stop")
    assert (stop["who"], stop["reason"], stop["latched"], stop["epoch"]) == (BOB, "smoke", True, 2)
    assert stop["write_ms"] >= 0
    assert stop["drain_ms"] is None
    assert stop["caller_left"] is True
    assert "emergency stop on port 'laser' by usbshare://site/bob" in caplog.text


async def test_a_stop_is_reported_though_its_caller_hangs_up_before_the_device_took_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.port.line.ensure_open()
    bench.device.capacity = 0
    await hang_up_on_a_stop(bench, lambda: bench.port.line.writer.urgent_waits)
    stop = bench.last("stop")
    assert bytes.fromhex(stop["sent"]).endswith(b"\x18")
    assert stop["write_ms"] is None
    assert stop["caller_left"] is True
    assert "the device had not accepted it yet" in caplog.text
    bench.device.make_room(100)
    assert bench.device.written.endswith(b"\x18")


async def test_a_stop_whose_caller_hangs_up_before_there_is_a_device_is_reported_as_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = asyncio.Event()

    async def never_open(listener: object) -> None:
        opening.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(bench.device, "open", never_open)
    await hang_up_on_a_stop(bench, opening.is_set)
    assert bench.audit.events == ["stop failed"]
    assert "its caller disconnected" in bench.last("stop failed")["error"]


async def test_a_stop_whose_caller_stays_says_nothing_of_leaving(bench: Bench) -> None:
    await bench.port.line.ensure_open()
    await bench.port.stops.path.stop(StopAction.HOLD, BOB)
    assert bench.last("stop")["caller_left"] is None


async def test_a_lost_client_and_what_was_done_to_its_machine_are_reported(bench: Bench) -> None:
    session = await bench.open()
    attachment = session.attach(StreamPump(session.outbox, ignore, time.monotonic))
    await session.command(command(b"G1X1\n"))
    watch = bench.port.roster.watch_of(session)
    assert watch is not None
    watch.lose("nothing heard")
    assert attachment.ended.done()
    await until(lambda: "stop" in bench.audit.events)
    assert bench.last("session lost")["reason"] == "nothing heard"
    assert bench.last("stop")["who"] == "link-loss policy"
    client = Client("s2", BOB, "LightBurn", "192.0.2.8:9", Mode.CONTROL)
    again = await bench.port.open_session(client, Resumption(session.token, 0))
    assert again is session
    assert bench.last("session resumed")["session"] == "s1"
    assert bench.last("session resumed")["address"] == "192.0.2.8:9"


async def test_settings_are_reported_where_they_change(bench: Bench) -> None:
    session = await bench.open()
    operations = LineOperations(bench.port.line, session, bench.port.audit)
    await operations.configure(1, SettingsChange(baud=9600))
    await operations.configure(2, SettingsChange(baud=9600))
    changed = bench.last("settings changed")
    assert (changed["before"], changed["settings"]) == ("12000000 8N1", "9600 8N1")
    assert bench.audit.events.count("settings changed") == 1


async def test_real_time_bytes_that_stop_a_machine_are_reported_and_polls_are_not() -> None:
    clock, audit = FakeClock(), FakeAudit()
    port_audit = PortAudit("laser", clock, audit)
    for data in (b"?", b"\x90", b"!", b"~", b"!", b"!", b"\x18"):
        port_audit.realtime(BOB, BOBS_ADDRESS, GRBL, data)
    clock.advance(2)
    port_audit.realtime(BOB, BOBS_ADDRESS, GRBL, b"!")
    assert [entry["action"] for entry in audit.entries] == ["hold", "resume", "reset", "hold"]
    assert [entry["left_out_before"] for entry in audit.entries] == [None, None, None, 2]


async def test_real_time_bytes_in_a_stream_are_reported_with_their_sender(bench: Bench) -> None:
    session = await bench.open()
    session.realtime.in_stream(b"!")
    assert bench.last("realtime")["who"] == BOB


async def test_a_device_that_goes_is_reported(bench: Bench) -> None:
    await bench.open()
    bench.port.line.device_lost("it was unplugged")
    assert bench.last("device lost")["reason"] == "it was unplugged"
