from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.gcode_lines import programs
from usbshare.analysis.capture import Capture


class Captured:
    """A capture with its file in memory."""

    def __init__(self, values: dict[int, float] | None = None) -> None:
        self.file = io.BytesIO()
        self.capture = Capture(self.file, values)
        self.banner = self.capture.connect().decode()

    def say(self, text: str | bytes) -> str:
        data = text.encode() if isinstance(text, str) else text
        return self.capture.feed(data).decode()

    @property
    def kept(self) -> bytes:
        return self.file.getvalue()


@pytest.fixture
def captured() -> Captured:
    return Captured()


def test_a_program_talks_to_a_simulated_grbl(captured: Captured) -> None:
    assert "Grbl 1.1h ['$' for help]" in captured.banner
    assert captured.say("?").startswith("<Idle|MPos:0.000,0.000,0.000")
    assert "[VER:1.1h" in captured.say("$I\n")
    assert "$110=12000.000" in captured.say("$$\n")
    assert captured.kept == b""


def test_a_captured_program_reads_the_settings_of_the_machine() -> None:
    assert "$30=255" in Captured({30: 255.0}).say("$$\n")


def test_lines_are_answered_at_once_and_kept_as_they_are(captured: Captured) -> None:
    job = b"G21 ; mm\n\n(a comment)\nG1 X100 F1\n$H\n$32=1\nG4 P100\n"
    assert captured.say(job).count("ok\r\n") == 6
    assert captured.kept == job.replace(b"$H\n", b"")  # homing is switched off in this machine
    assert "MPos:100.000" in captured.say("?")


def test_questions_and_jogs_are_no_part_of_a_job(captured: Captured) -> None:
    assert captured.say("$$\n$#\n$G\n$X\n$J=G91 X5 F500\nG0 X1\n").count("ok\r\n") == 6
    assert captured.kept == b"G0 X1\n"


def test_lines_that_the_machine_would_reject_get_its_error_and_are_left_out(
    captured: Captured,
) -> None:
    assert captured.say("G1 X1\nG0 X1\nQ1\n") == "error:22\r\nok\r\nerror:20\r\n"
    assert captured.kept == b"G0 X1\n"
    assert captured.capture.rejected == 2


def test_both_halves_of_a_line_end_are_answered_and_kept_once(captured: Captured) -> None:
    assert captured.say("G21\r\nG0 X1\r\n\r\n") == "ok\r\n" * 6
    assert captured.kept == b"G21\nG0 X1\n\n"


def test_bytes_may_come_one_by_one(captured: Captured) -> None:
    for byte in b"G0 X1?\nG0 X2\n":
        captured.say(bytes([byte]))
    assert captured.kept == b"G0 X1\nG0 X2\n"


def test_a_reset_voids_what_came_before(captured: Captured) -> None:
    captured.say("G0 X1\nG0 X")
    assert "Grbl 1.1h" in captured.say(b"\x18")
    captured.say("G0 X5\n")
    assert captured.kept == b"G0 X5\n"


@pytest.mark.parametrize("end", ["M2", "M30", "m02", "G0 X0 M30"])
def test_m2_or_m30_ends_the_capture(captured: Captured, end: str) -> None:
    captured.say("G0 X1\nM20\n")
    assert captured.kept == b"G0 X1\n"
    captured.say(f"{end}\nG0 X9\n")
    assert captured.capture.has_ended
    assert captured.kept == f"G0 X1\n{end}\n".encode()


def test_a_pause_waits_for_the_program_to_resume(captured: Captured) -> None:
    assert captured.say("M0\nG0 X1\n") == ""
    assert captured.say("~") == "ok\r\nok\r\n"
    assert captured.kept == b"M0\nG0 X1\n"


def test_a_line_that_is_too_long_for_the_firmware_is_rejected(captured: Captured) -> None:
    assert captured.say("G0 X" + "1" * 200_000 + "\nG0 X1\n") == "error:11\r\nok\r\n"
    assert captured.kept == b"G0 X1\n"


@settings(deadline=None, max_examples=60)
@given(programs, st.integers(1, 40))
def test_each_line_is_answered_and_as_many_are_kept_as_were_right(
    lines: list[str], size: int
) -> None:
    captured, job = Captured(), "".join(f"{line}\n" for line in lines).encode()
    output = "".join(captured.say(job[at : at + size]) for at in range(0, len(job), size))
    answers = [line for line in output.split("\r\n") if line == "ok" or line.startswith("error:")]
    assert len(answers) == len(lines)
    accepted = [line for line, answer in zip(lines, answers, strict=True) if answer == "ok"]
    kept = captured.kept.decode().splitlines()
    jobs = [line for line in accepted if not line.startswith("$") or "=" in line]
    jobs = [line for line in jobs if not line.startswith("$J")]
    assert kept == jobs[: len(kept)]
    assert captured.capture.has_ended or len(kept) == len(jobs)
