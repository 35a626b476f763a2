from __future__ import annotations

import re

from usbshare.bridge.demo.engraving import engraving_lines
from usbshare.line.settings import LineSettings
from usbshare.sim.grbl import GrblController
from usbshare.sim.status_codes import State
from usbshare.sim.uart import Uart

BED_MM = 400
RX_BYTES = 128


def stream(controller: GrblController) -> tuple[list[bytes], float]:
    """Send the engraving as character-counting senders do; return the answers and the duration."""
    uart = Uart(controller, LineSettings())
    waiting = [line.encode() + b"\n" for line in reversed(engraving_lines())]
    in_flight: list[int] = []
    answers: list[bytes] = []
    now_s, rest = 0.0, b""
    while waiting or in_flight:
        while waiting and sum(in_flight) + len(waiting[-1]) <= RX_BYTES:
            in_flight.append(len(waiting[-1]))
            uart.write(waiting.pop(), now_s)
        times = (uart.next_event_s(), uart.next_reply_s())
        now_s = min(time for time in times if time is not None)
        *lines, rest = (rest + uart.read(now_s)).split(b"\r\n")
        for line in lines:
            if line == b"ok" or line.startswith(b"error"):
                in_flight.pop(0)
                answers.append(line)
    return answers, now_s


def test_the_engraving_has_the_form_that_lightburn_writes() -> None:
    lines = engraving_lines()
    assert all(line.startswith(";") for line in lines[:2])
    head = ["G00 G17 G40 G21 G54", "G90", "M4", "M8", "G0 X8Y8", "G1 Y23S600F1800"]
    assert lines[2:11] == [*head, "X23", "Y8", "X8"]
    assert lines[-6:] == ["M9", "G1 S0", "M5", "G90", "G0 X0 Y0", "M2"]
    assert 2500 < len(lines) < 3500


def test_every_line_is_one_that_grbl_takes() -> None:
    word = re.compile(r";.*|[GMXYFS ]?([GMXYFS]-?\d+(\.\d+)? ?)+")
    assert all(word.fullmatch(line) and len(line) < 80 for line in engraving_lines())


def test_the_engraving_stays_on_the_bed() -> None:
    values = re.findall(r"[XY](-?[\d.]+)", "\n".join(engraving_lines()))
    assert all(0 <= float(value) <= BED_MM for value in values)


def test_the_engraving_is_always_the_same() -> None:
    assert engraving_lines() == engraving_lines()


def test_the_engraving_has_no_error_and_leaves_the_beam_off() -> None:
    controller = GrblController()
    answers, duration_s = stream(controller)
    assert set(answers) == {b"ok"}
    assert len(answers) == len(engraving_lines())
    assert controller.record.lost_bytes == 0
    assert controller.record.beam_power == 0
    assert controller.state is State.IDLE
    assert 15 < duration_s < 30


def test_two_runs_engrave_the_same() -> None:
    first, second = GrblController(), GrblController()
    stream(first)
    stream(second)
    assert first.record.engraving() == second.record.engraving() != b""
