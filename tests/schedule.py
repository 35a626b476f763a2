"""`-n WORKERS --dist loadfile`: a file goes to one worker, so that its tests share what they start.

The tests of a file that says `pytest.mark.apart` share nothing, and wait long: each goes to a
worker that is free. Files that start browsers are spread among the others: as many browsers as
workers would starve one another. Unit tests compute, all others wait: they are mixed, so that the
CPU has work at any time, and the last that run are short. A test that kills its worker has failed,
and the worker's other tests go to others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

MARK = "pytest.mark.apart"
BROWSERS, WAITING, COMPUTING = range(3)
# The part of the run over which the files of a kind begin.
SPREAD = {BROWSERS: 0.6, WAITING: 0.6, COMPUTING: 1.0}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        files = spread(list(dict.fromkeys(item.path for item in items)))
        places = {file: place for place, file in enumerate(files)}
        items.sort(key=lambda item: places[item.path])


def spread(files: Sequence[Path]) -> list[Path]:
    """Return files mixed: those of a kind keep their order, evenly over its part of the run."""
    kinds: dict[int, list[Path]] = {kind: [] for kind in SPREAD}
    for file in files:
        kinds[kind_of(file)].append(file)
    placed = {
        file: (number + 0.5) / len(same) * SPREAD[kind]
        for kind, same in kinds.items()
        for number, file in enumerate(same)
    }
    return sorted(placed, key=placed.__getitem__)


def kind_of(file: Path) -> int:
    """Return what the tests of a file are."""
    if "unit" in file.parts:
        return COMPUTING
    return BROWSERS if file.parts[-3:-1] == ("e2e", "panel") else WAITING


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # noqa: PLC0415

    @cache
    def is_apart(file: str) -> bool:
        return MARK in (config.rootpath / file).read_text(encoding="utf-8")

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return nodeid if is_apart(file) else file

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
