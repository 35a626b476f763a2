"""`-n WORKERS --dist loadfile`: a file goes to one worker, so that its tests share what they start.

The tests of a file that says `pytest.mark.apart` share nothing, and wait long: each goes to a
worker that is free. Unit tests compute, all others wait: they are mixed, so that the CPU has work
at any time, and the last that run are short. Neighbours in a folder are alike: those that sleep
would sleep at once, and as many browsers as workers would starve one another. So each kind is
shuffled, the same way in each run. A test that kills its worker has failed, and the worker's other
tests go to others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

MARK = "pytest.mark.apart"
BROWSERS, WAITING, COMPUTING = range(3)
# The part of the run over which the tests of a kind begin.
SPREAD = {BROWSERS: 0.7, WAITING: 0.7, COMPUTING: 1.0}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        units = {item: unit_of(config.rootpath, item.nodeid) for item in items}
        ordered = spread(list(dict.fromkeys(units.values())))
        places = {unit: place for place, unit in enumerate(ordered)}
        items.sort(key=lambda item: places[units[item]])


def unit_of(root: Path, test: str) -> str:
    """Return what goes to one worker: a file, or a test of a file whose tests are apart."""
    file = test.partition("::")[0]
    return test if _is_apart(root / file) else file


def spread(units: Sequence[str]) -> list[str]:
    """Return files and tests mixed: each kind shuffled, evenly over its part of the run."""
    kinds: dict[int, list[str]] = {kind: [] for kind in SPREAD}
    for unit in sorted(units, key=lambda unit: sha256(unit.encode()).digest()):
        kinds[kind_of(unit)].append(unit)
    placed = {
        unit: (number + 0.5) / len(same) * SPREAD[kind]
        for kind, same in kinds.items()
        for number, unit in enumerate(same)
    }
    return sorted(placed, key=placed.__getitem__)


def kind_of(unit: str) -> int:
    """Return of which kind the tests of a unit are."""
    folders = unit.partition("::")[0].split("/")[:-1]
    if "unit" in folders:
        return COMPUTING
    return BROWSERS if folders[-2:] == ["e2e", "panel"] else WAITING


@cache
def _is_apart(file: Path) -> bool:
    return MARK in file.read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # noqa: PLC0415

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(config.rootpath, nodeid)

        def remove_node(self, node: Any) -> str | None:
            """Take a worker's tests back; return the one that killed it, which is not run again."""
            units: dict[str, dict[str, bool]] = self.assigned_work.pop(node)
            left = [(unit, test) for unit in units.values() for test in unit if not unit[test]]
            if not left:
                return None
            unit, killer = left[0]
            unit[killer] = True
            self.workqueue.update(
                (name, unit) for name, unit in units.items() if not all(unit.values())
            )
            for other in self.nodes:
                self._reschedule(other)
            return killer

        def _reschedule(self, node: Any) -> None:
            if node in self.registered_collections:  # a dead worker's successor collects first
                super()._reschedule(node)

    return Scheduling(config, log)
