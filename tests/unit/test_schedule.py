"""Files of tests run in an order in which they do not starve one another."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import schedule

KILLER = "def test_before(): pass\ndef test_killer(): __import__('os')._exit(1)\n"
DEADLINE_S = 120.0


def names(pattern: str, count: int) -> list[str]:
    return [f"tests/{pattern.format(number)}" for number in range(count)]


def test_files_with_browsers_are_spread_among_those_that_wait() -> None:
    browsers, waiting = names("e2e/panel/test_{}.py", 3), names("e2e/test_{}.py", 12)
    ordered = schedule.spread([*browsers, *waiting])
    assert sorted(ordered) == sorted([*browsers, *waiting])
    assert [place for place, file in enumerate(ordered) if file in browsers] == [2, 7, 12]


def test_unit_tests_run_beside_those_that_wait_and_after_them() -> None:
    waiting, computing = names("e2e/test_{}.py", 7), names("unit/panel/test_{}.py", 10)
    ordered = schedule.spread([*waiting, *computing])
    assert sorted(ordered) == sorted([*waiting, *computing])
    assert [file in waiting for file in ordered[:14]].count(True) == 7
    assert {file in waiting for file in ordered[:4]} == {True, False}
    assert set(ordered[-3:]) <= set(computing)


def test_neighbours_are_parted_in_the_same_way_each_time() -> None:
    sleepers, others = names("e2e/test_sleep.py::test_{}", 8), names("e2e/test_{}.py", 32)
    ordered = schedule.spread([*others, *sleepers])
    assert ordered == schedule.spread([*sleepers, *others])
    places = [ordered.index(each) for each in sleepers]
    assert max(places) - min(places) > 2 * len(sleepers)


def test_what_is_apart_is_a_unit_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("pytestmark = pytest.mark.apart\n")
    (tmp_path / "test_b.py").write_text("pass\n")
    assert schedule.unit_of(tmp_path, "test_a.py::test_x[1::2]") == "test_a.py::test_x[1::2]"
    assert schedule.unit_of(tmp_path, "test_b.py::test_x") == "test_b.py"


@pytest.mark.parametrize("has_others", [True, False])
def test_a_test_that_kills_its_worker_has_failed_and_the_others_run(
    tmp_path: Path, has_others: bool
) -> None:
    (tmp_path / "test_killer.py").write_text(
        f"{KILLER}def test_after(): pass\ndef test_last(): pass\n"
    )
    for name in ("one", "two", "three") if has_others else ("one",):
        (tmp_path / f"test_{name}.py").write_text("def test_it(): pass\n")
    options = ["-c", "/dev/null", "-p", "schedule", "-n", "2", "--dist", "loadfile"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--max-worker-restart", "3", str(tmp_path)],
        env={"PYTHONPATH": str(Path(schedule.__file__).parent)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert re.search(r"crashed while running '.*test_killer'", done.stdout), done
    passed = 6 if has_others else 4
    assert f"1 failed, {passed} passed" in done.stdout, done.stdout


@dataclass(eq=False)
class Worker:
    """A worker of xdist that remembers which of its tests it is to run."""

    gateway: SimpleNamespace
    shutting_down: bool = False
    asked: list[int] = field(default_factory=list)

    def send_runtest_some(self, numbers: list[int]) -> None:
        self.asked += numbers

    def shutdown(self) -> None:
        self.shutting_down = True


def test_a_worker_that_still_collects_gets_no_tests(tmp_path: Path) -> None:
    """One starts in place of a dead one, and another dies before it has collected."""
    tests = [f"{name}.py::test_{number}" for name in "abcdef" for number in range(3)]
    for name in "abcdef":
        (tmp_path / f"{name}.py").touch()
    scheduling = made_for(tmp_path)
    first, second, third = (Worker(SimpleNamespace(id=each)) for each in ("gw0", "gw1", "gw2"))
    for each in (first, second):
        scheduling.add_node(each)
        scheduling.add_node_collection(each, tests)
    scheduling.schedule()
    assert tests[first.asked[0]] == scheduling.remove_node(first) == "a.py::test_0"
    scheduling.add_node(third)
    assert tests[second.asked[0]] == scheduling.remove_node(second)
    assert not third.asked
    scheduling.add_node_collection(third, tests)
    scheduling.schedule()
    assert third.asked


def made_for(folder: Path) -> Any:
    """Return the scheduling of a run with two workers."""
    values = {"dist": "loadfile", "tx": ["2*popen"]}
    option = SimpleNamespace(loadscopereorder=False)
    config: Any = SimpleNamespace(getvalue=values.get, rootpath=folder, option=option)
    return schedule.pytest_xdist_make_scheduler(config, None)
