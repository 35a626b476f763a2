"""Each line of a program is answered once and in order, whatever the link and the firmware do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from usbshare.bridge.buffered.early_answers import LONGEST_MESSAGE, EarlyAnswers, Outcome


class Program:
    """A program that has written, and what it was given."""

    def __init__(self, most_bytes: int = 1000) -> None:
        self.given = b""
        self.answers = EarlyAnswers(self._take, most_bytes)

    def _take(self, data: bytes) -> None:
        self.given += data

    def sent(self) -> list[bytes]:
        lines = []
        while (line := self.answers.take()) is not None:
            lines.append(line)
        return lines


def test_motion_is_answered_at_once() -> None:
    program = Program()
    program.answers.program_wrote(b"G1 X1\nG1 X2\nG1 X")
    assert program.given == b"ok\r\n" * 2
    assert program.sent() == [b"G1 X1\n", b"G1 X2\n"]
    program.answers.done(Outcome.ANSWERED, b"ok")
    program.answers.done(Outcome.ANSWERED, b"ok")
    assert program.given == b"ok\r\n" * 2
    assert program.answers.waiting_bytes == len(b"G1 X")


def test_no_more_is_answered_than_the_buffer_holds() -> None:
    program = Program(most_bytes=12)
    program.answers.program_wrote(b"G1 X1\nG1 X2\nG1 X3\n")
    assert program.given == b"ok\r\n" * 2
    assert program.answers.run_ahead_bytes == 12
    program.sent()
    program.answers.done(Outcome.ANSWERED, b"ok")
    assert program.given == b"ok\r\n" * 3


def test_a_line_longer_than_the_buffer_does_not_wait_for_ever() -> None:
    program = Program(most_bytes=4)
    program.answers.program_wrote(b"G1 X1 Y1\n")
    assert program.given == b"ok\r\n"


def test_a_question_waits_for_what_is_before_it_and_brings_its_own_answer() -> None:
    program = Program()
    program.answers.program_wrote(b"G1 X1\n$G\nG1 X2\n")
    assert program.given == b"ok\r\n"
    assert program.sent() == [b"G1 X1\n"]
    program.answers.done(Outcome.ANSWERED, b"ok")
    assert program.sent() == [b"$G\n"]
    assert program.given == b"ok\r\n"
    program.answers.done(Outcome.REJECTED, b"error:9")
    assert program.given == b"ok\r\nerror:9\r\nok\r\n"
    assert program.sent() == [b"G1 X2\n"]


def test_a_late_error_names_its_line_and_holds_the_rest() -> None:
    program = Program(most_bytes=12)
    program.answers.program_wrote(b"G1 X1\nG1 Y9\nG1 X3\n")
    program.sent()
    program.given = b""
    program.answers.done(Outcome.ANSWERED, b"ok")  # the third is within the bound now
    assert program.given == b"ok\r\n"
    program.answers.program_wrote(b"G1 X4\n")
    program.given = b""
    program.answers.done(Outcome.REJECTED, b"error:20")
    assert program.given == b"[MSG:line 2 was rejected: G1 Y9]\r\nerror:20\r\n"
    program.answers.program_wrote(b"G1 X5\n")
    program.given = b""
    program.answers.release()
    assert program.given == b""  # the program took the error for the answer to X4
    program.sent()
    program.answers.done(Outcome.ANSWERED, b"ok")
    assert program.given == b"ok\r\n"


def test_a_line_that_the_host_refuses_is_rejected_with_the_reason_in_whole_words() -> None:
    program = Program()
    program.answers.program_wrote(b"$H\n")
    program.sent()
    reason = "port 'laser' [the \u201cbig\u201d one] " + "is latched " * 20
    program.answers.done(Outcome.REFUSED, reason.encode())
    message, answer, _ = program.given.split(b"\r\n")
    assert answer == b"error:9"
    assert len(message) <= LONGEST_MESSAGE + len(b"[MSG:]")
    assert message.startswith(b"[MSG:port 'laser' [the ?big? one) is latched is")
    assert message.endswith(b"is latched ...]")


def test_an_alarm_in_a_line_that_waits_for_its_answer_is_that_answer() -> None:
    program = Program()
    program.answers.program_wrote(b"$H\n")
    program.sent()
    program.answers.done(Outcome.REJECTED, b"ALARM:8")
    assert program.given == b"ALARM:8\r\n"


def test_carriage_returns_end_lines_of_their_own_as_in_grbl() -> None:
    program = Program()
    program.answers.program_wrote(b"G1 X1\r\n")
    assert program.given == b"ok\r\n" * 2
    assert program.sent() == [b"G1 X1\n", b"\n"]


def test_a_reset_forgets_everything() -> None:
    program = Program()
    program.answers.program_wrote(b"G1 X1\n$H\nG1")
    program.sent()
    assert program.answers.void() == 5  # not sent: $H and the beginning of a line
    assert program.answers.waiting_bytes == 0
    program.given = b""
    program.answers.program_wrote(b"G1 X2\n")
    assert program.given == b"ok\r\n"
    assert program.sent() == [b"G1 X2\n"]


def test_the_answers_of_a_program_that_left_are_not_given_to_the_next() -> None:
    program = Program()
    program.answers.program_wrote(b"G1 X1\n$G\nG1 X2\nG1")
    program.answers.program_left()
    program.given = b""
    program.answers.program_wrote(b"G1 X9\n")
    program.sent()
    program.answers.done(Outcome.ANSWERED, b"ok")
    program.sent()
    program.answers.done(Outcome.REJECTED, b"error:3")
    assert program.sent() == [b"G1 X2\n", b"G1 X9\n"]
    assert program.given == b"ok\r\n"
    program.answers.done(Outcome.REJECTED, b"error:20")
    assert program.given == b"ok\r\n"


def test_a_line_without_an_end_is_cut_and_left_to_the_host_to_refuse() -> None:
    program = Program()
    program.answers.program_wrote(b"?" * 3000)
    assert program.sent() == [b"?" * 3000 + b"\n"]
    program.answers.done(Outcome.REFUSED, b"the line has 3000 bytes [80 at most]")
    assert program.given == b"[MSG:the line has 3000 bytes [80 at most)]\r\nerror:9\r\n"


LINES = st.sampled_from([b"G1 X1", b"S5", b"$G", b"G4 P1", b"", b"M2", b"G0 X0 Y0"])


@given(st.lists(LINES, max_size=40), st.integers(1, 60), st.data())
def test_every_line_is_sent_once_and_answered_once_however_it_comes(
    lines: list[bytes], most_bytes: int, data: st.DataObject
) -> None:
    program = Program(most_bytes)
    wire = b"".join(line + b"\n" for line in lines)
    sent: list[bytes] = []
    answered = 0
    while wire or answered < len(lines):
        may_answer = answered < len(sent)
        if wire and (not may_answer or data.draw(st.booleans())):
            size = data.draw(st.integers(1, len(wire)))
            program.answers.program_wrote(wire[:size])
            wire = wire[size:]
        else:
            assert may_answer, "a line is not sent"
            program.answers.done(Outcome.ANSWERED, b"ok")
            answered += 1
        sent += program.sent()
        assert program.answers.run_ahead_bytes <= max(most_bytes, 9)
    assert sent == [line + b"\n" for line in lines]
    assert program.given == b"ok\r\n" * len(lines)
    assert program.answers.waiting_bytes == 0
