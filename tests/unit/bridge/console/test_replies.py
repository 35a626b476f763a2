"""Whose answer each line of a machine is."""

from __future__ import annotations

from usbshare.bridge.console.lines import Kind, Line
from usbshare.bridge.console.replies import Pending, Replies
from usbshare.bridge.console.resting import ENOUGH, Resting


class Heard:
    """What everybody was told, what the asker was told, and how the line ended."""

    def __init__(self) -> None:
        self.everybody: list[Line] = []
        self.asker: list[Line] = []
        self.ends: list[str] = []
        self.resting = Resting()
        self.replies = Replies(self.everybody.append, self.resting.reported)

    def begin(self) -> Pending:
        pending = Pending(self.asker.append, self.ends.append)
        self.replies.begin(pending)
        return pending

    @property
    def answers(self) -> list[str]:
        return [line.text for line in self.asker]


def test_an_answer_goes_to_its_asker_up_to_its_ok() -> None:
    heard = Heard()
    heard.begin()
    heard.replies.feed(b"[VER:1.1h:]\r\n[OPT:V]\r")
    heard.replies.feed(b"\nok\r\n[MSG:later]\r\n")
    assert heard.answers == ["[VER:1.1h:]", "[OPT:V]", "ok"]
    assert heard.ends == [""]
    assert heard.everybody == [Line("[MSG:later]")]


def test_an_error_is_the_last_line_and_a_problem() -> None:
    heard = Heard()
    heard.begin()
    heard.replies.feed(b"error:20\r\n")
    assert heard.asker == [Line("error:20", Kind.PROBLEM)]
    assert heard.ends == [""]


def test_an_ok_without_a_line_goes_to_nobody() -> None:
    heard = Heard()
    heard.replies.feed(b"ok\r\nok T:20.0\r\nerror:1\r\n")
    assert heard.everybody == []


def test_a_report_goes_to_each_who_asked_for_it_even_within_an_answer() -> None:
    heard = Heard()
    heard.begin()
    first: list[Line] = []
    second: list[Line] = []
    heard.replies.ask_report(first.append)
    heard.replies.ask_report(second.append)
    heard.replies.feed(b"<Run|MPos:0,0,0>\r\n<Run|MPos:1,0,0>\r\nok\r\n")
    assert first == second == [Line("<Run|MPos:0,0,0>", Kind.REPORT)]
    assert heard.answers == ["ok"]


def test_a_caller_that_gave_up_waiting_gets_no_report() -> None:
    heard = Heard()
    told: list[Line] = []
    tell = told.append
    heard.replies.ask_report(tell)
    heard.replies.forget(tell)
    heard.replies.feed(b"<Idle|MPos:0,0,0>\r\n")
    assert told == []


def test_everybody_sees_a_changed_state_but_not_the_polls_of_others() -> None:
    heard = Heard()
    heard.replies.feed(b"<Idle|A>\r\n<Idle|B>\r\n<Run|C>\r\n<Run|D>\r\n<Hold:0|E>\r\n")
    assert [line.text for line in heard.everybody] == ["<Idle|A>", "<Run|C>", "<Hold:0|E>"]


def test_an_alarm_goes_to_everybody_and_its_line_may_have_no_ok() -> None:
    heard = Heard()
    pending = heard.begin()
    heard.replies.feed(b"ALARM:1\r\n")
    assert heard.everybody == [Line("ALARM:1", Kind.PROBLEM)]
    assert pending.is_alarmed
    assert heard.ends == []


def test_a_greeting_ends_the_lines_that_the_machine_had() -> None:
    heard = Heard()
    heard.begin()
    heard.replies.feed(b"\r\nGrbl 1.1h ['$' for help]\r\n")
    assert heard.ends == ["the machine was reset"]
    heard.replies.feed(b"ok\r\n")
    assert heard.answers == []


def test_terminal_codes_are_removed_and_an_endless_line_is_cut() -> None:
    heard = Heard()
    heard.replies.feed(b"[MSG:\x1b[2Jred\x07]\n" + b"x" * 5000)
    assert heard.everybody[0] == Line("[MSG:red]")
    assert all(len(line.text) <= 1024 for line in heard.everybody)


def test_rest_is_known_after_enough_reports_of_idle_since_the_last_line() -> None:
    heard = Heard()
    known = []
    for report in [b"<Idle|A>\r\n"] * ENOUGH + [b""] + [b"<Run|A>\r\n", b"<Idle|A>\r\n"]:
        if not report:
            heard.resting.sent()
        heard.replies.feed(report)
        known.append(heard.resting.is_known)
    assert known == [*[False] * (ENOUGH - 1), True, False, False, False]
