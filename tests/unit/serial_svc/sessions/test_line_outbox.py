"""Results and device bytes of a session that streams lines leave in the order they came in."""

from __future__ import annotations

from usbshare.serial_svc.line.scheduler import CommandOutcome
from usbshare.serial_svc.sessions.events import CommandResult, Data, HeartbeatReply, SessionEvent
from usbshare.serial_svc.sessions.line_outbox import LineOutbox


class Heard:
    """Takes `ok`s out of the device's bytes, and makes a result of each."""

    def __init__(self) -> None:
        self.outbox = LineOutbox(lambda: None, 0, self.hear)
        self.answered = 0

    def hear(self, data: bytes, now: float) -> bytes:
        del now
        for _ in range(data.count(b"ok\r\n")):
            self.answered += 1
            self.outbox.put(CommandResult(self.answered, CommandOutcome.ANSWERED))
        return data.replace(b"ok\r\n", b"")

    def sent(self) -> list[SessionEvent | None]:
        events = []
        while self.outbox.wait_s(100.0) == 0:
            events.append(self.outbox.take(100.0))
        return events


def test_a_result_goes_behind_the_device_bytes_that_came_with_its_reply() -> None:
    heard = Heard()
    heard.outbox.put_data(0, b"ok\r\n", 0.0)
    heard.outbox.put(HeartbeatReply(1, 0))
    heard.outbox.put_data(4, b"[GC:G0]\r\nok\r\n", 0.0)
    events = heard.sent()
    assert [type(event) for event in events] == [CommandResult, HeartbeatReply, Data, CommandResult]


def test_a_result_does_not_wait_for_bytes_that_its_client_does_not_take() -> None:
    heard = Heard()
    heard.outbox.acknowledged(0)
    for start in range(0, 300_000, 1000):
        heard.outbox.put_data(start, b"x" * 1000, 0.0)
    heard.outbox.put_data(300_000, b"ok\r\n", 0.0)
    results = [event for event in heard.sent() if isinstance(event, CommandResult)]
    assert len(results) == 1
