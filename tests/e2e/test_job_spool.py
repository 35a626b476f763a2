"""What the job service keeps: files, queue and history, across whatever happens to it."""

from __future__ import annotations

import asyncio
import signal
from hashlib import sha256
from pathlib import Path

import grpc
import pytest

from fakes.job_host import (
    PROGRAM,
    SHORT,
    TIMEOUT_S,
    JobHost,
    enqueued,
    job_host,
    read,
    refusal,
    upload,
)
from fakes.waiting import until
from usbshare.client.health import HealthClient
from usbshare.client.status.host_watch import look_once
from usbshare.client.status.text import page
from usbshare.job.v1 import job_pb2 as pb
from usbshare.rpc.channel import Target
from usbshare.rpc.other_service import JOB_SERVICE
from usbshare.rpc.tls import ClientBundle

DIGEST = sha256(PROGRAM).digest()


def stored(folder: Path) -> list[str]:
    return [each.name for each in (folder / "files").iterdir()]


async def test_an_upload_cut_at_twenty_offsets_ends_with_the_same_sha256(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        for number, cut in enumerate(range(0, len(PROGRAM), len(PROGRAM) // 20)):
            jobs = host.jobs()
            content = PROGRAM + b"; %d\n" % number
            await upload(jobs, content, cut=cut)
            if number % 5 == 0:
                assert host.job is not None
                host.job.stop(signal.SIGKILL)
                host.start_job()
                jobs = host.jobs()
            answer = await upload(jobs, content)
            assert answer.complete.sha256 == sha256(content).digest()
            assert answer.complete.lines == 1201
            name = f"{sha256(content).hexdigest()}-1201.gcode"
            assert (host.folder / "files" / name).read_bytes() == content


async def test_acknowledged_pieces_of_an_upload_survive_a_kill(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        cut = len(PROGRAM) // 2
        await upload(host.jobs(), PROGRAM, cut=cut)
        assert host.job is not None
        host.job.stop(signal.SIGKILL)
        host.start_job()
        call = host.jobs().Upload(timeout=TIMEOUT_S)
        begin = pb.UploadBegin(name="x", size_bytes=len(PROGRAM), sha256=DIGEST)
        await call.write(pb.UploadRequest(begin=begin))
        assert (await read(call)).accepted_offset == cut
        call.cancel()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"GIF89a\0\0", "byte 6 is 0x00 (NUL, as binary files and UTF-16 have)"),
        (b"<html>\n", "the file contains no G-code; it begins with '<html>'"),
        (b"G1 X1\nG1 !\n", "line 2: '!' outside a comment"),
        (b"G1 X1\n" + b"X" * 3000 + b"\n", "line 2 has more than 1024 bytes"),
    ],
)
async def test_a_file_that_is_not_gcode_is_refused_in_one_line(
    tmp_path: Path, content: bytes, text: str
) -> None:
    async with job_host(tmp_path) as host:
        code, said = await refusal(upload(host.jobs(), content))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert text in said
        assert "\n" not in said
        assert stored(host.folder) == []


async def test_a_file_that_is_too_large_or_empty_or_has_a_wrong_hash_is_refused(
    tmp_path: Path,
) -> None:
    async with job_host(tmp_path) as host:

        async def begin(**values: object) -> tuple[grpc.StatusCode, str]:
            call = host.jobs().Upload(timeout=TIMEOUT_S)
            fields = {"name": "x", "size_bytes": 10, "sha256": DIGEST, **values}
            await call.write(pb.UploadRequest(begin=pb.UploadBegin(**fields)))  # type: ignore[arg-type]
            return await refusal(read(call))

        code, said = await begin(size_bytes=2_000_000_000)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "this host accepts at most 256.0 MB per file" in said
        assert (await begin(size_bytes=0))[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert (await begin(sha256=b"abc"))[1].startswith("sha256 has 3 bytes; it must have 32")
        assert (await begin(name="x" * 201))[1] == "name has 201 bytes; at most 200 are allowed"


async def test_a_host_says_whether_it_has_room_before_a_file_comes(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        call = host.jobs().Upload(timeout=TIMEOUT_S)
        begin = pb.UploadBegin(name="x", size_bytes=len(PROGRAM))
        await call.write(pb.UploadRequest(begin=begin))
        assert await read(call) == pb.UploadResponse()
        assert await call.read() is grpc.aio.EOF
        call = host.jobs().Upload(timeout=TIMEOUT_S)
        begin.size_bytes = 2_000_000_000
        await call.write(pb.UploadRequest(begin=begin))
        code, said = await refusal(read(call))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "this host accepts at most 256.0 MB per file" in said
        assert stored(host.folder) == []


async def test_a_queue_survives_a_kill_as_it_was(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        for priority in (0, 5, 0):
            await enqueued(jobs, priority=priority, passes=2, request_id=f"r{priority}x")
        third = await enqueued(jobs, attended=True)
        await jobs.Reorder(pb.ReorderRequest(job_id=third.job_id, place=1), timeout=TIMEOUT_S)
        before = await watched(jobs)
        assert host.job is not None
        host.job.stop(signal.SIGKILL)
        host.start_job()
        assert await watched(host.jobs()) == before
        assert [each.job.place for each in before] == [1, 2, 3]
        listed = await host.jobs().ListJobs(pb.ListJobsRequest(), timeout=TIMEOUT_S)
        assert list(listed.jobs) == [each.job for each in before]
        history = await host.jobs().ListHistory(pb.ListHistoryRequest(), timeout=TIMEOUT_S)
        assert not history.jobs


async def watched(jobs: object) -> list[pb.WatchJobsResponse]:
    """Return what a watch begins with, by places."""
    call = jobs.WatchJobs(pb.WatchJobsRequest(), timeout=TIMEOUT_S)  # type: ignore[attr-defined]
    found = [await read(call) for _ in range(3)]
    call.cancel()
    return sorted(found, key=lambda each: each.job.place)


async def test_a_file_goes_with_the_last_job_that_needs_it(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        first, second = await enqueued(jobs), await enqueued(jobs)
        await jobs.DeleteJob(pb.DeleteJobRequest(job_id=first.job_id), timeout=TIMEOUT_S)
        await enqueued(jobs, PROGRAM)
        assert len(stored(host.folder)) == 2
        await jobs.DeleteJob(pb.DeleteJobRequest(job_id=second.job_id), timeout=TIMEOUT_S)
        await until(lambda: len(stored(host.folder)) == 1)
        request = pb.EnqueueRequest(sha256=sha256(SHORT).digest())
        code, said = await refusal(jobs.Enqueue(request, timeout=TIMEOUT_S))
        assert code is grpc.StatusCode.NOT_FOUND
        assert "is not on this host: upload it first" in said


async def test_a_damaged_database_is_kept_aside_and_the_files_stay(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        job = await enqueued(host.jobs())
        assert host.job is not None
        host.job.stop(signal.SIGKILL)
        (host.folder / "jobs.sqlite").write_bytes(b"no database" * 1000)
        for rest in ("jobs.sqlite-wal", "jobs.sqlite-shm"):
            (host.folder / rest).unlink(missing_ok=True)
        host.start_job()
        host.job.wait_for("record of the jobs is damaged .* kept as .*jobs.sqlite.damaged-")
        host.job.wait_for("ready .*a damaged record of jobs is kept aside")
        (trouble,) = (await host.jobs().ListJobs(pb.ListJobsRequest(), timeout=TIMEOUT_S)).troubles
        assert "the record of jobs was damaged and is kept aside as jobs.sqlite.dama" in trouble
        assert "job-svc: the record of jobs was damaged" in await status_of(host)
        await health_is(host, "NOT_SERVING")
        assert len(stored(host.folder)) == 1
        request = pb.EnqueueRequest(sha256=sha256(SHORT).digest())
        again = (await host.jobs().Enqueue(request, timeout=TIMEOUT_S)).job
        assert again.job_id == job.job_id + 1
        host.job.stop()
        host.start_job()  # it is not forgotten with the service
        await health_is(host, "NOT_SERVING")
        for aside in host.folder.glob("jobs.sqlite.damaged-*"):
            aside.unlink()
        await health_is(host, "SERVING")
        seen = await host.jobs().ListJobs(pb.ListJobsRequest(), timeout=TIMEOUT_S)
        assert not seen.troubles


async def health_is(host: JobHost, expected: str) -> None:
    bundle = ClientBundle.load(host.home / "config" / "usbshare" / "client.pem")
    client = HealthClient(Target("127.0.0.1", host.job_port), bundle)
    async with asyncio.timeout(TIMEOUT_S):
        while await client.status(JOB_SERVICE) != expected:  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.05)
    await client.close()


async def status_of(host: JobHost) -> str:
    bundle = ClientBundle.load(host.home / "config" / "usbshare" / "client.pem")
    target = Target("127.0.0.1", host.serial_port)
    return page([await look_once("laser", target, bundle, TIMEOUT_S, host.job_port)])


async def test_bad_requests_get_one_clear_line_each(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        await upload(jobs, SHORT)

        async def enqueue(**values: object) -> tuple[str, str]:
            fields = {"sha256": sha256(SHORT).digest(), **values}
            request = pb.EnqueueRequest(**fields)  # type: ignore[arg-type]
            code, said = await refusal(jobs.Enqueue(request, timeout=TIMEOUT_S))
            return code.name, said

        assert await enqueue(passes=1001) == (
            "INVALID_ARGUMENT",
            "passes is 1001; 1 to 1000 are allowed",
        )
        assert (await enqueue(priority=-101))[1] == "priority is -101; -100 to 100 are allowed"
        assert (await enqueue(first_line=6))[
            1
        ] == "the file has 5 lines; it cannot begin with line 6"
        assert (await enqueue(request_id="r" * 65))[1].startswith("request_id has 65 bytes")
        assert await enqueue(port_id="mill") == (
            "NOT_FOUND",
            "no port 'mill' here; available: laser",
        )
        for call in (
            jobs.GetJob(pb.GetJobRequest(job_id=99), timeout=TIMEOUT_S),
            jobs.DeleteJob(pb.DeleteJobRequest(job_id=99), timeout=TIMEOUT_S),
            jobs.Reorder(pb.ReorderRequest(job_id=99, place=1), timeout=TIMEOUT_S),
        ):
            assert await refusal(call) == (
                grpc.StatusCode.NOT_FOUND,
                "there is no job 99 here",
            )


async def test_names_are_fit_to_be_shown(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        await upload(jobs, SHORT)
        request = pb.EnqueueRequest(sha256=sha256(SHORT).digest(), name="a\x1b[2Jb\n\u202ec")
        assert (await jobs.Enqueue(request, timeout=TIMEOUT_S)).job.name == "ab c"
