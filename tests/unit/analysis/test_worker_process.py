from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from usbshare.analysis.analyse import analyse
from usbshare.analysis.preamble import preamble
from usbshare.analysis.records import MachineFacts
from usbshare.analysis.worker_process import analyse_aside, preamble_aside
from usbshare.base.errors import InvalidArgumentError, LimitError

MACHINE = MachineFacts({110: 3000.0, 130: 300.0, 131: 200.0, 132: 50.0}, (-1.0, 0.0, 0.0))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.nc"
    path.write_text("M4 S9\nG1 X1 F900\n" + "G1 X2\nG1 X1\n" * 3000)
    return path


async def test_a_worker_finds_what_an_analysis_finds(job: Path) -> None:
    told: list[int] = []
    found = await analyse_aside(job, machine=MACHINE, line_bytes_per_s=50.0, progress=told.append)
    assert found == analyse(job, machine=MACHINE, line_bytes_per_s=50.0)
    assert told[:2] == [1000, 2000]


async def test_the_reason_of_a_refusal_comes_through(tmp_path: Path, job: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="at most 0 MB"):
        await analyse_aside(job, max_bytes=10)
    with pytest.raises(OSError, match=r"No such file.*none\.nc"):
        await analyse_aside(tmp_path / "none.nc")


async def test_a_worker_rebuilds_where_a_line_is(job: Path) -> None:
    lines = await preamble_aside(job, 4)
    assert lines == preamble(job, 4)
    with pytest.raises(InvalidArgumentError, match="it cannot begin with line 9000"):
        await preamble_aside(job, 9000)


async def test_a_worker_that_takes_too_long_is_ended(job: Path) -> None:
    with pytest.raises(LimitError, match="more than 0 s"):
        await analyse_aside(job, timeout_s=0.01)


async def test_a_cancelled_analysis_leaves_no_process(job: Path, tmp_path: Path) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(analyse_aside(job, progress=lambda _: begun.set()))
    async with asyncio.timeout(60):
        await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(b"analysis.worker_main" in command for command in commands_of_children())


def commands_of_children() -> list[bytes]:
    listed = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    return [Path(f"/proc/{each}/cmdline").read_bytes() for each in " ".join(listed).split()]
