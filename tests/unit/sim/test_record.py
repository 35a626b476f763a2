from __future__ import annotations

import json
from pathlib import Path

from usbshare.sim.record import BeamInterval, Record, Segment


def test_a_record_adds_up_the_time_of_the_beam() -> None:
    record = Record()
    record.beam(5, 1.0)
    record.beam(7, 2.0)
    record.beam(0, 4.0)
    assert list(record.intervals) == [BeamInterval(1.0, 2.0, 5), BeamInterval(2.0, 4.0, 7)]
    assert record.beam_on_s(9.0) == 3.0


def test_a_beam_still_on_counts_too() -> None:
    record = Record()
    record.beam(5, 1.0)
    assert record.beam_on_s(3.5) == 2.5


def test_every_entry_is_readable_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    record = Record(path)
    record.open()
    record.receive(b"G1\n", 0.5)
    record.lose(3, 1)
    record.beam(9, 1.5)
    record.cut(Segment(0, 0, 1, 2, 9), 2)
    record.event("reset", 3)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    record.close()
    assert entries == [
        {"t": 0.5, "rx": "47310a"},
        {"t": 1, "lost": 3},
        {"t": 1.5, "beam": 9},
        {"t": 2, "cut": [0, 0, 1, 2, 9]},
        {"t": 3, "event": "reset"},
    ]


def test_a_record_drops_the_oldest_entries_and_keeps_the_totals() -> None:
    record = Record(limit=2)
    for n in range(5):
        record.receive(bytes([n]), n)
    assert record.received == b"\x03\x04"
    assert record.received_bytes == 5


def test_engravings_are_compared_as_text() -> None:
    record = Record()
    record.cut(Segment(-0.0001, 0, 1.00004, 2, 9.0), 0)
    assert record.engraving() == b"0.000 0.000 1.000 2.000 9"
