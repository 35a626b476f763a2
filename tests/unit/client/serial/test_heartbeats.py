"""A heartbeat says which answer of its session was heard last."""

from __future__ import annotations

from usbshare.client.serial.heartbeats import Heartbeats
from usbshare.client.serial.latency import Latency
from usbshare.client.serial.messages import Heartbeat
from usbshare.client.serial.upstream import Upstream


def test_a_heartbeat_carries_the_last_answer_heard() -> None:
    now = 0.0
    beats = Heartbeats(Latency(), lambda: now, Upstream())
    assert beats.next() == Heartbeat(1, 0.0, heard_id=0)
    assert beats.next().heard_id == 0
    now = 0.01
    beats.answered(2)
    assert beats.next().heard_id == 2
    beats.answered(1)
    assert beats.next().heard_id == 2, "an older answer that comes later is no news"


def test_another_session_has_heard_nothing_yet() -> None:
    beats = Heartbeats(Latency(), lambda: 0.0, Upstream())
    beats.answered(beats.next().id)
    before = beats.next()
    beats.begin()
    assert beats.next().heard_id == 0
    beats.answered(before.id)
    assert beats.next().heard_id == 0, "an answer of the session before is not of this one"


def test_the_first_beat_of_each_session_says_nothing_of_the_link() -> None:
    now = 0.0
    latency = Latency()
    beats = Heartbeats(latency, lambda: now, Upstream())
    for took_s in (0.5, 0.01, None, 0.7, 0.02):  # None: another session
        if took_s is None:
            beats.begin()
            continue
        beat = beats.next().id
        now += took_s
        beats.answered(beat)
    summary = latency.summary()
    assert summary is not None
    assert summary.max_ms == 20.0
