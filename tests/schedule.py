"""`-n WORKERS --dist loadfile`: a file goes to one worker, so that its tests share what they start.

The tests of a file that says `pytest.mark.apart` share nothing, and wait long: each goes to a
worker that is free.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

MARK = "pytest.mark.apart"


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

    return Scheduling(config, log)
