"""`bridge stop`: what it asks for and the line that it prints."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fakes.remote import REMOTE
from usbshare.base.errors import NotFoundError, NotSupportedError, UsbshareError
from usbshare.bridge.stop import command
from usbshare.client.serial.messages import RemoteLatch, RemotePort
from usbshare.client.serial.stop_report import SeenHold, StopReport
from usbshare.line.profiles import StopAction
from usbshare.rpc.channel import Target

REPORT = StopReport(
    epoch=2,
    latched=True,
    sent=b"\x18",
    fenced_commands=12,
    receive_time=datetime(2026, 11, 21, tzinfo=UTC),
    write_delay_s=0.0002,
    drain_delay_s=0.0014,
    round_trip_s=0.0031,
)


class Client:
    """A service that answers as it is told and remembers what it was asked."""

    target = Target("laser", 50051)

    def __init__(self, report: StopReport = REPORT, *, fails: UsbshareError | None = None) -> None:
        self.report = report
        self.fails = fails
        self.only = "laser"
        self.ports = [REMOTE]
        self.asked: list[object] = []

    async def stop(
        self, port_id: str, action: StopAction, reason: str = "", *, seen: SeenHold | None = None
    ) -> StopReport:
        self.asked.append((port_id, action, reason, *([] if seen is None else [seen])))
        if self.fails is not None:
            raise self.fails
        return self.report

    async def rearm(self, port_id: str, epoch: int) -> int:
        self.asked.append(("rearm", port_id, epoch))
        if self.fails is not None:
            raise self.fails
        return epoch

    async def get_port(self, port_id: str) -> RemotePort:
        self.asked.append(("port", port_id))
        return self.ports[0]

    async def only_port(self, timeout_s: float) -> str:
        self.asked.append("list")
        if self.fails is not None:
            raise self.fails
        return self.only


async def test_an_emergency_stop_says_all_that_it_did() -> None:
    client = Client()
    line = (await command.stop(client, "laser", StopAction.EMERGENCY_STOP, "smoke")).text
    assert client.asked == [("laser", StopAction.EMERGENCY_STOP, "smoke")]
    assert line == (
        "emergency stop on port 'laser': sent 0x18, fenced 12 commands; round trip 3.1 ms, "
        "written after 0.2 ms, drained after 1.4 ms; the port is latched until "
        "`usbshare-bridge stop --rearm --target laser:50051 --port laser --epoch 2`"
    )


async def test_a_hold_says_how_to_go_on() -> None:
    held = replace(REPORT, latched=False, sent=b"!", fenced_commands=0, drain_delay_s=None)
    held = replace(held, hold_number=7)
    line = (await command.stop(Client(held), "", StopAction.HOLD, "")).text
    assert line == (
        "hold on port 'laser': sent !; round trip 3.1 ms, written after 0.2 ms, "
        "drained: unknown; not latched: "
        "`usbshare-bridge stop --resume --target laser:50051 --epoch 2 --hold-number 7` continues"
    )


async def test_the_ports_name_is_asked_for_only_after_the_stop() -> None:
    client = Client()
    await command.stop(client, "", StopAction.HOLD, "")
    assert client.asked == [("", StopAction.HOLD, ""), "list"]


async def test_a_resume_names_the_hold_that_the_person_knows_of() -> None:
    client = Client()
    await command.resume(client, "", "", SeenHold(2, 7))
    assert client.asked == [("", StopAction.RESUME, "", SeenHold(2, 7)), "list"]


async def test_a_resume_that_names_no_hold_means_the_current_one() -> None:
    client = Client()
    client.ports = [replace(REMOTE, epoch=5, hold_number=3)]
    await command.resume(client, "", "why", None)
    named = (REMOTE.id, StopAction.RESUME, "why", SeenHold(5, 3))
    assert client.asked == [("port", ""), named]


async def test_a_stop_is_reported_though_the_name_cannot_be_had() -> None:
    client = Client()
    client.only = ""
    line = (await command.stop(client, "", StopAction.SAFETY_DOOR, "")).text
    assert line.startswith("safety door on the host's port: ")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"\x84", "sent 0x84"),
        (b"\nM112\n", "sent M112"),
        (b"\nM410\nM5\n", "sent M410, M5"),
        (b"\x18\nM112\n", "sent 0x18, M112"),
        (b"!\x84M410\nM410\nM5\n", "sent !, 0x84, M410, M410, M5"),
        (b"\x01\x02", "sent 0x01, 0x02"),
    ],
)
async def test_bytes_are_shown_as_people_know_them(sent: bytes, shown: str) -> None:
    client = Client(replace(REPORT, sent=sent))
    assert f": {shown}" in (await command.stop(client, "laser", StopAction.EMERGENCY_STOP, "")).text


async def test_a_resume_that_let_the_queue_go_on_is_confirmed_though_it_sent_nothing() -> None:
    released = replace(REPORT, latched=False, sent=b"", fenced_commands=0)
    line = (await command.resume(Client(released), "laser", "", SeenHold(2, 1))).text
    assert line.startswith(
        "resume on port 'laser': what was held continues; the profile has no bytes to resume the "
        "machine with; "
    )


@pytest.mark.parametrize(
    "action",
    [each for each in StopAction if each is not StopAction.RESUME],
    ids=lambda each: each.name,
)
async def test_a_stop_that_sent_nothing_is_a_failure(action: StopAction) -> None:
    nothing = Client(replace(REPORT, sent=b""))
    with pytest.raises(NotSupportedError, match="SENT NOTHING"):
        await command.stop(nothing, "laser", action, "")


async def test_an_emergency_stop_that_sent_nothing_says_what_it_did() -> None:
    nothing = Client(replace(REPORT, sent=b""))
    with pytest.raises(NotSupportedError) as caught:
        await command.stop(nothing, "laser", StopAction.EMERGENCY_STOP, "")
    assert str(caught.value).startswith(
        "emergency stop on port 'laser': SENT NOTHING, because the port's profile has no bytes "
        "for it, fenced 12 commands; "
    )


async def test_a_refusal_is_reported_as_it_is() -> None:
    client = Client(fails=NotFoundError("no port 'x' here"))
    with pytest.raises(NotFoundError, match=r"^no port 'x' here$"):
        await command.stop(client, "x", StopAction.HOLD, "")


BOB = "usbshare://site/bob"
STOPPED_AT = datetime(2026, 11, 21, 10, 5, 3, tzinfo=UTC)
LATCH = RemoteLatch("emergency stop", BOB, "smoke", STOPPED_AT, 7)


async def test_a_re_arm_says_whose_stop_it_undoes_and_names_that_stop() -> None:
    client = Client()
    client.ports = [replace(REMOTE, epoch=9, latched=True, latch=LATCH)]
    assert (await command.rearm(client, "", None)).text == (
        "port 'laser' accepts programs again (epoch 7); "
        f"it was stopped by {BOB} at 2026-11-21 10:05:03 UTC (smoke)"
    )
    assert client.asked == [("port", ""), ("rearm", "laser", 7)]


async def test_a_re_arm_names_the_epoch_that_the_person_gave() -> None:
    client = Client()
    line = (await command.rearm(client, "laser", 5)).text
    assert line == "port 'laser' accepts programs again (epoch 5)"
    assert client.asked == [("rearm", "laser", 5)]


async def test_a_port_that_is_not_latched_needs_no_re_arm() -> None:
    client = Client()
    assert (
        await command.rearm(client, "laser", None)
    ).text == "port 'laser' is not latched (epoch 1)"
    assert client.asked == [("port", "laser")]
