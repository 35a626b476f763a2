"""Lines of an audit log: sealed by their hashes, each bound to the one before."""

from __future__ import annotations

import hashlib
import json

import pytest

from usbshare.audit.chain import (
    LONGEST_TEXT,
    START_HASH,
    BrokenChainError,
    Fault,
    Tip,
    check,
    link,
    verify,
)


def chain(count: int) -> list[bytes]:
    lines, tip = [], Tip()
    for number in range(count):
        line, tip = link(tip, {"event": "sent", "bytes": number})
        lines.append(line)
    return lines


def faults(lines: list[bytes]) -> list[str]:
    return [found.why for found in verify(lines, Tip()) if isinstance(found, Fault)]


def test_the_hash_is_that_of_the_line_without_it() -> None:
    line, tip = link(Tip(), {"event": "stop", "who": "usbshare://s/a"})
    entry = json.loads(line)
    unsealed = line.replace(b',"hash":"' + tip.hash.encode() + b'"', b"").rstrip(b"\n")
    assert hashlib.sha256(unsealed).hexdigest() == entry["hash"] == tip.hash
    assert (entry["seq"], entry["prev"]) == (1, START_HASH)


def test_an_untouched_chain_has_no_fault() -> None:
    lines = chain(20)
    assert faults(lines) == []
    assert list(verify(lines, Tip()))[-1] == check(lines[-1])[1]


def test_empty_fields_are_left_out_and_long_text_is_cut() -> None:
    line, _ = link(Tip(), {"event": "x", "who": "", "port": None, "count": 0, "why": "y" * 9999})
    assert json.loads(line).keys() == {"seq", "event", "count", "why", "prev", "hash"}
    assert len(json.loads(line)["why"]) == LONGEST_TEXT


@pytest.mark.parametrize("name", ["seq", "prev", "hash"])
def test_no_field_can_take_the_place_of_the_chains_own(name: str) -> None:
    line, tip = link(Tip(4, "ab"), {"event": "x", name: "forged"})
    entry = json.loads(line)
    assert (entry["seq"], entry["prev"], entry["hash"]) == (5, "ab", tip.hash)


@pytest.mark.parametrize("value", ["\ud800", "ä\n\u2028", b"\xff", {1: 2}, float("nan"), object()])
def test_no_value_can_break_a_line(value: object) -> None:
    line, tip = link(Tip(), {"event": "x", "value": value})
    assert line.count(b"\n") == 1
    assert check(line)[1] == tip


def test_a_circular_value_is_still_noted() -> None:
    circle: list[object] = []
    circle.append(circle)
    line, _ = link(Tip(), {"event": "x", "value": circle})
    assert check(line)[0]["event"] == "x"


def test_a_fault_says_what_is_wrong() -> None:
    lines = chain(6)
    assert faults([lines[0], lines[1].replace(b"sent", b"seen"), *lines[2:]]) == [
        "it was changed: its hash does not match"
    ]
    assert faults([*lines[:2], *lines[4:]]) == ["lines 3 to 4 are missing before it"]
    assert faults([*lines[:3], lines[2], *lines[3:]]) == [
        "line 3 follows line 3: repeated or out of order"
    ]
    forged, _ = link(Tip(2, check(lines[1])[1].hash), {"event": "nothing happened"})
    assert "replaced" in faults([*lines[:2], forged, *lines[3:]])[0]


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"[]", b'{"seq":1}\n', b"\xff\xfe\n"])
def test_a_line_that_is_not_of_the_log_is_distinguished(line: bytes) -> None:
    with pytest.raises(BrokenChainError):
        check(line)
