"""Results find their lines, whatever a stop and a lost link made void."""

from __future__ import annotations

from usbshare.bridge.buffered.buffered_upstream import BufferedUpstream
from usbshare.bridge.buffered.early_answers import EarlyAnswers
from usbshare.client.serial.messages import Message, ResultEvent, SendCommand
from usbshare.line.credit import Credit
from usbshare.line.profiles import GRBL


def sent(upstream: BufferedUpstream) -> list[SendCommand]:
    messages: list[Message] = []
    while upstream.wait_s(100.0) == 0:
        messages.append(upstream.take(100.0))
    return [each for each in messages if isinstance(each, SendCommand)]


def test_after_a_stop_while_the_link_was_lost_new_lines_have_their_answers() -> None:
    given: list[bytes] = []
    upstream = BufferedUpstream(EarlyAnswers(given.append, 1000))
    upstream.begin(epoch=1, profile=GRBL)
    upstream.credit(Credit(4096, 100, 0))
    upstream.add_program(b"G1 X1\n" * 3)
    assert [each.id for each in sent(upstream)] == [1, 2, 3]
    upstream.lose_link()
    upstream.resume(6, 1, epoch=2, profile=GRBL)  # the host had one line, and a stop came
    upstream.credit(Credit(4096, 100, 6))
    given.clear()
    upstream.add_program(b"$G\n")
    (line,) = sent(upstream)
    assert line.id == 2
    upstream.result(ResultEvent(1, "fenced", 0.0, 0.0, ""))
    assert given == []
    upstream.result(ResultEvent(line.id, "answered", 0.0, 0.0, "", reply="ok"))
    assert given == [b"ok\r\n"]
