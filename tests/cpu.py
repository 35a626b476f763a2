"""`pytest --cpu`: CPU seconds by folder, file and test, with those of every process they started.

Wall time says little on a machine that does other things as well; CPU time is what the suite costs.
A browser waits for few of its processes, so what runs is counted while it runs, where Linux tells.
"""

from __future__ import annotations

import os
import resource
from collections import defaultdict
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest

PROCESSES = Path("/proc")
LISTED = 60  # files, and tests
COLLECTING = "(collecting, in every worker)"


def used_s() -> float:
    """Return the CPU seconds of this process, its descendants, and those that they waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + descendants_s(os.getpid())


def descendants_s(pid: int) -> float:
    """Return the CPU seconds of those that descend from a process, and that they waited for."""
    ticks: dict[int, int] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for stat in PROCESSES.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            # proc(5): what follows the name begins with the state and the parent
            after = stat.read_text(errors="replace").rpartition(") ")[2].split()
            child = int(stat.parent.name)
            children[int(after[1])].append(child)
            ticks[child] = sum(map(int, after[11:15]))
    found = 0
    waiting = [pid]
    while waiting:
        born = children[waiting.pop()]
        found += sum(ticks[each] for each in born)
        waiting += born
    return found / os.sysconf("SC_CLK_TCK")


class Meter:
    """Sends what each phase of a test used with its report, and lists the sums at the end."""

    def __init__(self) -> None:
        self._seen_s = 0.0
        self._tests: defaultdict[str, float] = defaultdict(float)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self,
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now_s = used_s()
        kind = "cpu_s" if self._seen_s else "collecting_cpu_s"
        # Less than before: something ended that nobody waited for, after it was counted.
        report.user_properties.append((kind, max(0.0, now_s - self._seen_s)))
        self._seen_s = now_s
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for kind, seconds in report.user_properties:
            if kind == "cpu_s":
                self._tests[report.nodeid] += float(str(seconds))
            elif kind == "collecting_cpu_s":
                self._tests[COLLECTING] += float(str(seconds))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        files = {test: test.partition("::")[0] for test in self._tests}
        folders = {
            test: "/".join(PurePosixPath(file).parent.parts[:2]) for test, file in files.items()
        }
        terminalreporter.section(f"{sum(self._tests.values()):.0f} s of CPU")
        for names in (folders, files, {test: test for test in self._tests}):
            sums: defaultdict[str, float] = defaultdict(float)
            for test, name in names.items():
                sums[name] += self._tests[test]
            for name in sorted(sums, key=sums.__getitem__, reverse=True)[:LISTED]:
                terminalreporter.line(f"{sums[name]:8.1f}  {name}")
            terminalreporter.line("")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu", action="store_true", help="list what the tests use of the CPU")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--cpu"):
        config.pluginmanager.register(Meter())
