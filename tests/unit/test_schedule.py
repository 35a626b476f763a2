"""Files of tests run in an order in which they do not starve one another."""

from __future__ import annotations

from pathlib import Path

from schedule import spread


def paths(*names: str) -> list[Path]:
    return [Path("tests", name) for name in names]


def test_files_with_browsers_are_spread_among_end_to_end_tests() -> None:
    browsers = paths(*(f"e2e/panel/test_{n}.py" for n in range(3)))
    slow = paths(*(f"e2e/test_{n}.py" for n in range(12)))
    short = paths("integration/test_a.py", "unit/panel/test_b.py")
    ordered = spread([*browsers, *slow, *short])
    assert ordered[-2:] == short
    assert [place for place, file in enumerate(ordered) if file in browsers] == [2, 7, 12]
    assert [file for file in ordered if file in slow] == slow


def test_files_without_browsers_keep_their_order() -> None:
    files = paths("e2e/test_b.py", "e2e/test_a.py", "unit/test_c.py")
    assert spread(files) == files
