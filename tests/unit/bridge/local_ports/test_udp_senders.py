"""Who is answered over UDP: each sender of the last minute, never too many."""

from __future__ import annotations

from fakes.clock import FakeClock
from usbshare.bridge.local_ports.udp import is_plain
from usbshare.bridge.local_ports.udp_senders import LARGEST_ANSWER_BYTES, Senders, packed

ONE, OTHER, THIRD = ("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 3)


def test_each_sender_is_known_for_a_minute_after_its_last_word() -> None:
    clock = FakeClock()
    senders: Senders[str] = Senders(clock)
    assert senders.heard(ONE, lambda: "one") == "one"
    clock.advance(40)
    assert senders.heard(OTHER, lambda: "other") == "other"
    clock.advance(19)
    assert senders.expire() == []
    assert senders.wait_s() == 1.0
    clock.advance(1)
    assert senders.expire() == ["one"]
    assert senders.addresses() == [OTHER]
    assert senders.heard(OTHER, lambda: "new") == "other"
    clock.advance(60)
    assert senders.expire() == ["other"]
    assert senders.wait_s() is None


def test_remembered_senders_are_bounded() -> None:
    clock = FakeClock()
    senders: Senders[str] = Senders(clock, most=2)
    senders.heard(ONE, lambda: "one")
    clock.advance(1)
    senders.heard(OTHER, lambda: "other")
    assert senders.heard(THIRD, lambda: "third") is None
    assert senders.evict() == "one"
    assert senders.heard(THIRD, lambda: "third") == "third"
    assert len(senders) == 2


def test_lines_are_packed_whole_and_a_longer_one_is_cut() -> None:
    lines = [b"a" * 500 + b"\n", b"b" * 500 + b"\n", b"c" * 500 + b"\n", b"d" * 5000]
    assert [len(each) for each in packed(lines)] == [1002, 501, LARGEST_ANSWER_BYTES]


def test_datagrams_of_a_browser_are_not_lines() -> None:
    assert all(map(is_plain, (b"G0 X1", b"help\r\n", b"?", b"\x18", b"$I\n", b"")))
    stun = bytes.fromhex("000100002112a442") + bytes(12)
    quic = bytes([0xC3, 0, 0, 0, 1])
    assert not any(map(is_plain, (stun, quic, b"G0 X1\nG0 X2", b"\x84", b"G0\x18")))
