"""A machine is at work from its first program byte until GRBL has said that it rests."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from usbshare.line.profiles import AUTO, GRBL, MARLIN, RAW, Profile
from usbshare.serial_svc.stop.activity import LONGEST_REPORT_BYTES, SETTLED_S, Activity

IDLE = b"<Idle|MPos:0.000,0.000,0.000|Bf:15,128|FS:0,0>\r\n"
IDLE_FULL = b"<Idle|MPos:0.000,0.000,0.000|Bf:15,90|FS:0,0>\r\n"
RUN = b"<Run|MPos:1.000,0.000,0.000|Bf:14,128|FS:600,1000>\r\n"
AT_REST = [IDLE, b"<Idle|MPos:0,0,0|FS:0,0>", b"<Idle,MPos:0,0,0>", b"<Alarm|MPos:0,0,0>",
           b"<Check|MPos:0,0,0>", b"<Sleep|MPos:0,0,0>", b"<Alarm>"]  # fmt: skip
AT_WORK = [RUN, b"<Hold:1|MPos:0,0,0>", b"<Hold:0|MPos:0,0,0>", b"<Door:3|MPos:0,0,0>",
           b"<Jog|MPos:0,0,0>", b"<Home|MPos:0,0,0>"]  # fmt: skip


class Machine:
    """An Activity that remembers what it told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.told: list[bool] = []
        self.profile = GRBL
        self.activity = Activity(self.told.append, profile=lambda: self.profile)

    @property
    def is_active(self) -> bool:
        return self.activity.is_active

    def write(self, data: bytes = b"G1 X1 F100\n") -> None:
        self.activity.wrote(data, self.clock())

    def hear(self, data: bytes, *, nothing_waits: bool = True) -> None:
        self.activity.heard(data, self.clock(), nothing_waits=nothing_waits)

    def settle(self) -> None:
        self.clock.advance(SETTLED_S)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def working(machine: Machine) -> Machine:
    machine.write()
    machine.settle()
    return machine


VERSION = b"[VER:1.1h.20190825:]\r\n[OPT:V,15,128]\r\nok\r\n"
QUERIES = [
    (GRBL, b"$I\n", VERSION),
    (AUTO, b"$I\r\n", VERSION),
    (GRBL, b"$$\n", b"$0=10\r\n$1=25\r\nok\r\n"),
    (GRBL, b"$G\n", b"[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F0 S0]\r\nok\r\n"),
    (GRBL, b"$#\n", b"[G54:0.000,0.000,0.000]\r\nok\r\n"),
    (GRBL, b"$N\n", b"$N0=\r\n$N1=\r\nok\r\n"),
    (MARLIN, b"M115\n", b"FIRMWARE_NAME:Marlin 2.1.2\nCap:EEPROM:0\nok\n"),
    (GRBL, b"$I\n$G\n", VERSION + b"[GC:G0]\r\nok\r\n"),
]


@pytest.mark.parametrize(("profile", "lines", "answer"), QUERIES)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_machine_that_was_only_asked_rests_once_it_has_answered(
    machine: Machine, profile: Profile, lines: bytes, answer: bytes, size: int
) -> None:
    machine.profile = profile
    for start in range(0, len(lines), size):
        machine.write(lines[start : start + size])
    assert machine.is_active
    for start in range(0, len(answer) - 1, size):
        machine.hear(answer[start : min(start + size, len(answer) - 1)])
    assert machine.is_active, "its answer is not whole"
    machine.hear(b"\n")
    assert machine.told == [True, False]


@pytest.mark.parametrize(
    ("profile", "lines", "answer"),
    [
        (RAW, b"$I\n", VERSION),
        (GRBL, b"$I\n", b"ok\r\n"),
        (GRBL, b"$I\n", b"error:8\r\n"),
        (GRBL, b"$H\n", b"ok\r\n"),
        (GRBL, b"$J=G91 X1 F100\n", b"ok\r\n"),
        (GRBL, b"$N0=G1 X1\n", b"$N0=\r\nok\r\n"),
        (GRBL, b"$X\n", b"[MSG:Caution: Unlocked]\r\nok\r\n"),
        (GRBL, b"\n", b"ok\r\n"),
        (GRBL, b"(comment)\n", b"ok\r\n"),
        (GRBL, b"G1 X1\n$I\n", b"ok\r\n" + VERSION),
        (GRBL, b"$I\nG1 X1\n", VERSION + b"ok\r\n"),
        (GRBL, b"$I\nG1 X1", VERSION),
        (GRBL, b"G1 X1($I\n", VERSION),
        (GRBL, b"$I\n$I\n", VERSION),
        (GRBL, b"$I\n", RUN + VERSION),
        (GRBL, b"$I\n", VERSION + RUN),
        (GRBL, b"(" + b" " * 600 + b"\n$I\n", VERSION),
        (MARLIN, b"M105\n", b"ok T:20.0 /0.0\n"),
        (MARLIN, b"G1 X1 M115\n", b"FIRMWARE_NAME:Marlin\nok\n"),
    ],
)
def test_a_line_not_known_to_be_a_query_is_work(
    machine: Machine, profile: Profile, lines: bytes, answer: bytes
) -> None:
    machine.profile = profile
    machine.write(lines)
    machine.hear(answer)
    assert machine.is_active


def test_a_query_makes_no_machine_at_work_rest(working: Machine) -> None:
    working.write(b"$I\n")
    working.hear(VERSION)
    assert working.is_active


def test_a_query_leaves_a_machine_that_was_at_work_when_the_service_died(machine: Machine) -> None:
    machine.activity.works(machine.clock())
    machine.write(b"$I\n")
    machine.hear(VERSION)
    assert machine.is_active


def test_after_a_query_the_next_move_is_work(machine: Machine) -> None:
    machine.write(b"$I\n")
    machine.hear(VERSION)
    machine.write()
    machine.hear(b"ok\r\n" + VERSION)
    assert machine.is_active
    machine.settle()
    machine.hear(IDLE)
    machine.write(b"$I\n")
    machine.hear(VERSION)
    assert machine.told == [True, False, True, False, True, False]


def test_a_line_that_was_begun_at_rest_is_no_query_when_it_ends(machine: Machine) -> None:
    machine.write(b"G1 X1")
    machine.settle()
    machine.hear(IDLE)
    machine.write(b"0 F100\n")
    machine.hear(b"ok\r\n")
    machine.write(b"$I\n")
    machine.hear(VERSION)
    assert machine.is_active


def test_a_machine_that_got_nothing_is_not_at_work(machine: Machine) -> None:
    machine.hear(RUN)
    assert not machine.is_active
    assert machine.told == []


def test_program_bytes_set_it_to_work_and_are_reported_once(machine: Machine) -> None:
    machine.write()
    machine.write()
    assert machine.is_active
    assert machine.told == [True]


@pytest.mark.parametrize("report", AT_REST)
def test_a_report_of_rest_ends_the_work(working: Machine, report: bytes) -> None:
    working.hear(report)
    assert working.told == [True, False]


@pytest.mark.parametrize("report", AT_WORK)
def test_a_report_of_work_ends_nothing(working: Machine, report: bytes) -> None:
    working.hear(report)
    assert working.told == [True]


def test_a_report_that_crossed_with_a_command_says_nothing(machine: Machine) -> None:
    machine.write()
    machine.clock.advance(SETTLED_S - 0.001)
    machine.hear(IDLE)
    assert machine.is_active


def test_a_report_counts_from_its_first_byte(machine: Machine) -> None:
    machine.write()
    machine.hear(IDLE[:1])
    machine.settle()
    machine.hear(IDLE[1:])
    assert machine.is_active
    machine.hear(IDLE)
    assert not machine.is_active


def test_a_report_begun_before_the_work_and_ended_after_it_says_nothing(machine: Machine) -> None:
    machine.hear(IDLE[:7])
    machine.write()
    machine.settle()
    machine.hear(IDLE[7:])
    assert machine.is_active


def test_a_report_in_the_chunk_that_ends_an_older_one_counts_for_itself(machine: Machine) -> None:
    machine.write()
    machine.hear(RUN[:9])
    machine.settle()
    machine.hear(RUN[9:] + IDLE)
    assert not machine.is_active


def test_rest_is_not_believed_while_commands_wait(working: Machine) -> None:
    working.hear(IDLE, nothing_waits=False)
    assert working.is_active


def test_idle_with_lines_in_the_receive_buffer_is_a_dwell(machine: Machine) -> None:
    machine.hear(IDLE)
    machine.write()
    machine.settle()
    machine.hear(IDLE_FULL)
    assert machine.is_active
    machine.hear(IDLE)
    assert not machine.is_active


def test_an_alarm_is_rest_whatever_its_buffer_holds(working: Machine) -> None:
    working.hear(IDLE)
    working.write()
    working.settle()
    working.hear(IDLE_FULL.replace(b"Idle", b"Alarm"))
    assert not working.is_active


@pytest.mark.parametrize("report", AT_WORK)
def test_a_machine_believed_idle_that_works_is_at_work(working: Machine, report: bytes) -> None:
    working.hear(b"<Idle|MPos:0,0,0>")
    working.hear(report)
    assert working.told == [True, False, True]


def test_a_report_that_crossed_with_a_stop_does_not_undo_it(working: Machine) -> None:
    working.activity.stopped()
    working.hear(RUN)
    assert working.told == [True, False]


def test_a_stop_of_a_machine_at_rest_is_not_reported(machine: Machine) -> None:
    machine.activity.stopped()
    assert machine.told == []


def test_a_number_without_end_does_no_harm(working: Machine) -> None:
    working.hear(b"<Run|Bf:15," + b"9" * 5000 + b">" + IDLE)
    assert working.is_active


def test_a_buffer_size_that_was_misread_is_forgotten_at_a_stop(working: Machine) -> None:
    working.hear(b"<Run|Bf:15,928>")
    working.activity.stopped()
    working.write()
    working.settle()
    working.hear(IDLE)
    assert not working.is_active


def test_a_report_without_end_is_forgotten(working: Machine) -> None:
    working.hear(b"<" + b"x" * LONGEST_REPORT_BYTES)
    assert working.activity._tail == b""
    working.hear(IDLE)
    assert not working.is_active


@given(
    noise=st.lists(st.sampled_from([b"ok\r\n", b"error:9\r\n", b"[MSG:<x]\r\n", b"<", b">"])),
    report=st.sampled_from(AT_REST),
    cuts=st.lists(st.integers(0, 80), max_size=12),
)
def test_a_report_of_rest_is_found_among_anything_split_anyhow(
    noise: list[bytes], report: bytes, cuts: list[int]
) -> None:
    machine = Machine()
    machine.write()
    machine.settle()
    for chunk in split(b"".join(noise) + report, cuts):
        machine.hear(chunk)
    assert machine.told == [True, False]


@given(
    steps=st.lists(
        st.one_of(
            st.sampled_from(["write", "stop"]),
            st.floats(0.0, 0.5).map(lambda s: round(s, 3)),
            st.sampled_from([*AT_REST, *AT_WORK, b"ok\r\n"]),
            st.binary(max_size=20),
        ),
        max_size=40,
    )
)
def test_nothing_but_rest_or_a_stop_ends_the_work_and_only_once_it_is_settled(
    steps: list[str | float | bytes],
) -> None:
    machine, written_at = Machine(), None
    for step in steps:
        was_active, heard = machine.is_active, b""
        if step == "write":
            machine.write()
            written_at = machine.clock()
        elif step == "stop":
            machine.activity.stopped()
            written_at = None
        elif isinstance(step, float):
            machine.clock.advance(step)
        elif isinstance(step, bytes):
            machine.hear(step)
            heard = step
        if was_active and not machine.is_active and step != "stop":
            assert heard
            assert written_at is not None
            assert machine.clock() - written_at >= SETTLED_S
        if machine.is_active:
            assert written_at is not None
        assert len(machine.activity._tail) <= LONGEST_REPORT_BYTES
    changes = [True, False] * len(machine.told)
    assert machine.told == changes[: len(machine.told)]


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return the data in pieces, some of them empty."""
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(bounds)]
