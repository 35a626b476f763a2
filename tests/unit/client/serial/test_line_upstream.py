"""Lines on their way to a service, over links that are lost anywhere: each arrives once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from usbshare.client.serial.line_upstream import MOST_WAITING_BYTES, LineUpstream
from usbshare.client.serial.messages import (
    Goodbye,
    Heartbeat,
    Message,
    ResultEvent,
    SendCommand,
    SendRealtime,
    Waiting,
)
from usbshare.line.credit import Credit
from usbshare.line.profiles import GRBL

PLENTY = Credit(1 << 20, 1 << 20, 0)


def upstream(credit: Credit = PLENTY) -> LineUpstream:
    made = LineUpstream()
    made.begin(epoch=1, profile=GRBL)
    made.credit(credit)
    return made


def taken(up: LineUpstream) -> list[Message]:
    """Take all that may go now."""
    messages = []
    while up.wait_s(0.0) is not None:
        messages.append(up.take(0.0))
    return messages


def result(number: int, outcome: str = "answered") -> ResultEvent:
    return ResultEvent(number, outcome, 0.0, 0.0, "", reply="ok")


def test_each_line_is_a_command_of_its_own_with_its_offset() -> None:
    up = upstream()
    assert [up.add(line) for line in (b"G0 X1\n", b"\n", b"G0 X2\n")] == [1, 2, 3]
    sent = [
        (each.id, each.offset, each.data) for each in taken(up) if isinstance(each, SendCommand)
    ]
    assert sent == [(1, 0, b"G0 X1\n"), (2, 6, b"\n"), (3, 7, b"G0 X2\n")]


def test_a_line_waits_for_credit_whole() -> None:
    up = upstream(Credit(10, 100, 0))
    up.add(b"G0 X1\n")
    up.add(b"G0 X2\n")
    assert len(taken(up)) == 1
    assert up.credit(Credit(12, 100, 0))
    assert len(taken(up)) == 1
    up = upstream(Credit(100, 1, 0))
    up.add(b"G0 X1\n")
    up.add(b"G0 X2\n")
    assert len(taken(up)) == 1


def test_room_ends_with_what_waits_not_with_what_is_unanswered() -> None:
    up = upstream()
    while up.has_room:
        up.add(b"G1 X1 Y1\n")
    assert up.unanswered * 9 >= MOST_WAITING_BYTES
    taken(up)
    up.credit(Credit(1 << 20, 1 << 20, up.unconsumed_bytes))
    taken(up)
    assert up.has_room


def test_results_are_matched_in_order_and_counted() -> None:
    up = upstream()
    up.add(b"G0\n")
    up.add(b"G1\n")
    taken(up)
    assert up.answer(result(2)) is None
    first = up.answer(result(1))
    assert first is not None
    assert (first.number, first.data) == (1, b"G0\n")
    assert (up.results, up.unanswered) == (1, 1)


def test_a_goodbye_comes_after_all_lines() -> None:
    up = upstream(Credit(3, 100, 0))
    up.add(b"G0\n")
    up.add(b"G1\n")
    up.add_ordered(Goodbye())
    assert not any(isinstance(each, Goodbye) for each in taken(up))
    up.credit(PLENTY)
    assert isinstance(taken(up)[-1], Goodbye)


def test_realtime_bytes_go_first_and_never_late() -> None:
    up = upstream()
    up.add(b"G0\n")
    assert up.add_realtime(b"?!")
    assert isinstance(taken(up)[0], SendRealtime)
    assert up.add_realtime(b"~")
    up.lose_link()
    assert not up.add_realtime(b"~")
    up.resume(3, 1, epoch=1, profile=GRBL)
    assert not any(isinstance(each, SendRealtime) for each in taken(up))


def test_lines_after_a_reset_say_so() -> None:
    up = upstream()
    up.add(b"G0\n")
    up.add_realtime(b"\x18")
    up.add(b"G1\n")
    commands = [each for each in taken(up) if isinstance(each, SendCommand)]
    assert [each.after_reset for each in commands] == [0, 1]


def test_a_line_keeps_the_epoch_in_which_it_was_added() -> None:
    up = upstream()
    up.add(b"G0\n")
    up.port_changed(epoch=2, profile=GRBL)
    up.add(b"G1\n")
    commands = [each for each in taken(up) if isinstance(each, SendCommand)]
    assert [each.epoch for each in commands] == [1, 2]


def test_a_session_that_is_lost_for_good_leaves_each_line_to_be_reported() -> None:
    up = upstream(Credit(3, 100, 0))
    up.add(b"G0\n")
    up.add(b"G1\n")
    taken(up)
    assert up.lose() == 6
    assert [line.number for line in up.take_lost()] == [1, 2]
    assert (up.unanswered, up.take_lost()) == (0, [])
    up.begin(epoch=1, profile=GRBL)
    up.credit(PLENTY)
    up.add(b"G2\n")
    assert [each.offset for each in taken(up) if isinstance(each, SendCommand)] == [0]


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), max_size=12),
)
@settings(deadline=None)
def test_each_line_arrives_once_whatever_is_lost(
    sizes: list[int], cuts: list[tuple[int, int, int]]
) -> None:
    lines = [bytes([65 + n % 26]) * size + b"\n" for n, size in enumerate(sizes)]
    up = upstream()
    for line in lines:
        up.add(line)
    accepted: list[bytes] = []
    made = told = 0
    for sends, answers, hears in [*cuts, (99, 99, 99)]:
        on_the_way: list[SendCommand] = []
        while len(on_the_way) < sends and up.wait_s(0.0) is not None:
            message = up.take(0.0)
            if isinstance(message, SendCommand):
                on_the_way.append(message)
            else:
                assert isinstance(message, Waiting | Heartbeat)
        # Of what is on the way the service gets a part; of its answers the client gets a part.
        for message in on_the_way[: max(0, sends - answers) if sends < 99 else 99]:
            assert message.offset == sum(map(len, accepted))
            accepted.append(message.data)
        made = min(len(accepted), made + answers)
        for _ in range(min(hears, made - told)):
            told += 1
            answer = up.answer(result(told))
            assert answer is not None
            assert answer.data == lines[told - 1]
        assert up.results == told
        up.lose_link()
        offset = sum(map(len, accepted))
        assert up.can_resume(offset)
        up.resume(offset, len(accepted), epoch=1, profile=GRBL)
    assert accepted == lines[: len(accepted)]
    rest = [each.data for each in taken(up) if isinstance(each, SendCommand)]
    assert accepted + rest == lines
