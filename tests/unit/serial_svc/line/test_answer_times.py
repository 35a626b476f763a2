"""From a status query written to the first byte of its report."""

from __future__ import annotations

import time

from fakes.device import FakeDevice
from usbshare.base.time_stats import TimeStats
from usbshare.line.profiles import GRBL
from usbshare.line.settings import LineSettings
from usbshare.serial_svc.line.answer_times import LONGEST_ANSWER_S, AnswerTimes
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.port import SerialPort


def test_the_first_of_two_queries_counts() -> None:
    stats = TimeStats()
    answers = AnswerTimes(stats)
    answers.wrote(b"?", 1.0)
    answers.wrote(b"!?", 1.5)
    answers.reported(2.0)
    answers.reported(3.0)  # nobody asked
    assert (stats.count, stats.last_s) == (1, 1.0)


def test_a_report_that_began_before_the_query_is_no_answer() -> None:
    stats = TimeStats()
    answers = AnswerTimes(stats)
    answers.wrote(b"?", 2.0)
    answers.reported(1.9)
    assert stats.count == 0
    answers.reported(2.25)
    assert stats.last_s == 0.25


def test_an_answer_that_never_came_is_not_taken_for_the_next() -> None:
    stats = TimeStats()
    answers = AnswerTimes(stats)
    answers.wrote(b"?", 0.0)
    late = 2 * LONGEST_ANSWER_S
    answers.reported(late)
    assert stats.count == 0
    answers.wrote(b"?", late)
    answers.forget()
    answers.reported(late + 1)
    assert stats.count == 0
    answers.wrote(b"G1 X1\n", late)
    answers.reported(late + 2)
    assert stats.count == 0


async def test_a_port_measures_its_firmware_and_its_line() -> None:
    settings = LineSettings(baud=115200)
    device = FakeDevice(settings)
    config = PortConfig("laser", "fake", profile=GRBL, settings=settings)
    port = SerialPort(config, lambda _: device, time.monotonic, lambda: None)
    await port.line.ensure_open()
    port.stops.realtime.write(b"?", "ann")
    port.line.data_received(b"<Idle|MPos:0,0,0>\r\n")
    counters = port.line.counters
    assert counters.answer_time.count == 1
    assert counters.answer_time.max_s > 0
    assert counters.drain_time.count == 1
    assert counters.drain_time.max_s >= 1 / settings.bytes_per_s * 0.99
    await port.close()
