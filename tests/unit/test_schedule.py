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


def paths(*names: str) -> list[Path]:
    return [Path("tests", name) for name in names]


def test_files_with_browsers_are_spread_among_those_that_wait() -> None:
    browsers = paths(*(f"e2e/panel/test_{n}.py" for n in range(3)))
    waiting = paths(*(f"e2e/test_{n}.py" for n in range(11)), "integration/test_a.py")
    ordered = schedule.spread([*browsers, *waiting])
    assert [place for place, file in enumerate(ordered) if file in browsers] == [2, 7, 12]
    assert [file for file in ordered if file in waiting] == waiting


def test_unit_tests_run_beside_those_that_wait_and_after_them() -> None:
    waiting = paths(*(f"e2e/test_{n}.py" for n in range(6)))
    computing = paths(*(f"unit/panel/test_{n}.py" for n in range(10)))
    ordered = schedule.spread([*waiting, *computing])
    assert [file for file in ordered if file in computing] == computing
    assert ordered[:4] == [waiting[0], computing[0], waiting[1], computing[1]]
    assert ordered[-4:] == computing[-4:]


def test_files_of_one_kind_keep_their_order() -> None:
    files = paths("e2e/test_b.py", "integration/test_a.py", "fuzz/test_c.py")
    assert schedule.spread(files) == files


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
