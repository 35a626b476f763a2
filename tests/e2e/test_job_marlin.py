"""Jobs on a simulated Marlin printer: `ok` by `ok`, and the end known by M400."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes.job_host import TIMEOUT_S, JobHost, enqueued, job_host, until_job
from usbshare.job.v1 import job_pb2 as pb

PRINTER = '[ports.printer]\nsource = "sim://marlin?record={record}"\nprofile = "marlin"\n'
PART = b"".join(
    [
        b"; a part\n",
        b"M140 S60\nM104 S200\nG28\nG90\nM82\nG92 E0\n",
        *(b"G1 X%d Y%d E%d F6000\n" % (each % 50, each // 50, each) for each in range(120)),
        b"M104 S0 ; cool down\nM84\n",
    ]
)
ENDED = {
    pb.JOB_STATE_FINISHED,
    pb.JOB_STATE_CANCELLED,
    pb.JOB_STATE_FAILED,
    pb.JOB_STATE_INTERRUPTED,
}


async def started(jobs: Any, content: bytes) -> pb.Job:
    job = await enqueued(jobs, content)
    request = pb.StartRequest(job_id=job.job_id)
    reply: pb.StartResponse = await jobs.Start(request, timeout=TIMEOUT_S)
    return reply.job


async def ended(jobs: Any, job: pb.Job) -> pb.Job:
    return await until_job(jobs, job.job_id, lambda job: job.state in ENDED)


def received(host: JobHost) -> list[bytes]:
    """Return the lines that the printer has received."""
    return host.received().splitlines()


async def test_a_part_is_printed_line_by_line_to_its_end(tmp_path: Path) -> None:
    record = tmp_path / "laser.jsonl"
    async with job_host(tmp_path, ports=PRINTER.format(record=record)) as host:
        jobs = host.jobs()
        done = await ended(jobs, await started(jobs, PART))
        assert (done.state, done.state_reason) == (pb.JOB_STATE_FINISHED, "")
        progress = done.progress
        assert progress.sent_lines == progress.acknowledged_lines == progress.lines
        lines = received(host)
        sent = [line.partition(b";")[0].strip() for line in PART.splitlines()]
        assert [line for line in lines if line in sent] == [each for each in sent if each]
        assert lines[-1] == b"M400"  # it replies once its last move is done


@pytest.mark.parametrize("action", ["Hold", "Cancel"])
async def test_a_print_is_held_or_cancelled(tmp_path: Path, action: str) -> None:
    record = tmp_path / "laser.jsonl"
    async with job_host(tmp_path, ports=PRINTER.format(record=record)) as host:
        jobs = host.jobs()
        slow = b"G28\n" + b"".join(b"G1 X%d F600\n" % (each % 2 * 100) for each in range(500))
        job = await started(jobs, slow)
        await until_job(jobs, job.job_id, lambda job: job.progress.acknowledged_lines > 3)
        request = getattr(pb, f"{action}Request")(job_id=job.job_id)
        await getattr(jobs, action)(request, timeout=TIMEOUT_S)
        found = await until_job(
            jobs, job.job_id, lambda job: job.state in {*ENDED, pb.JOB_STATE_HELD}
        )
        expected = pb.JOB_STATE_HELD if action == "Hold" else pb.JOB_STATE_CANCELLED
        assert found.state == expected, found
        count = len(received(host))
        assert count < 500
