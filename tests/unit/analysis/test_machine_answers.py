from __future__ import annotations

from usbshare.analysis.machine_answers import machine_facts


def test_settings_and_offsets_are_read_as_the_machine_prints_them() -> None:
    lines = [
        "Grbl 1.1h ['$' for help]",
        "$0=10",
        "$110=5000.000 (x max rate, mm/min)",
        " $130=400.000\r",
        "[G54:-390.000,-200.000,-1.000]",
        "[G55:1.000,1.000,1.000]",
        "[G92:5.000,0.000,0.000]",
        "[TLO:2.000]",
        "ok",
    ]
    facts = machine_facts(lines)
    assert facts is not None
    assert facts.settings == {0: 10.0, 110: 5000.0, 130: 400.0}
    assert facts.work_offset == (-385.0, -200.0, 1.0)


def test_a_reported_offset_counts_more() -> None:
    lines = ["$110=1", "[G54:1.000,1.000,1.000]", "<Idle|MPos:0.000,0.000,0.000|WCO:-1.0,-2.0,3.0>"]
    facts = machine_facts(lines)
    assert facts is not None
    assert facts.work_offset == (-1.0, -2.0, 3.0)


def test_offsets_in_inches_are_converted() -> None:
    facts = machine_facts(["$13=1", "[G54:1.0000,0.0000,0.0000]"])
    assert facts is not None
    assert facts.work_offset == (25.4, 0.0, 0.0)


def test_without_settings_nothing_is_known() -> None:
    assert machine_facts(["error:8", "[G54:1.000,0.000,0.000]"]) is None


def test_without_offsets_the_work_zero_is_unknown() -> None:
    facts = machine_facts(["$130=1"])
    assert facts is not None
    assert facts.work_offset is None
