"""`usbshare-bridge job`: from a file to the queue of a host, by the commands as processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fakes.gcode_program import Program, opened
from fakes.job_host import SHORT, JobHost, job_host
from fakes.json_schema import mistakes
from fakes.processes import completed, free_port, running

pytestmark = pytest.mark.apart

Command = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[JobHost]:
    async with job_host(tmp_path) as started:
        yield started


@pytest.fixture
def job(host: JobHost) -> Command:
    """Return what runs a subcommand: its exit code, and what it printed on each stream."""

    async def call(*words: str) -> tuple[int, str, str]:
        command = ["usbshare-bridge", "job", words[0], *target(host), *words[1:]]
        done = await asyncio.to_thread(completed, command, host.home)
        return done.returncode, done.stdout, done.stderr

    return call


def target(host: JobHost) -> list[str]:
    return ["--target", f"127.0.0.1:{host.job_port}"]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "box.gcode"
    path.write_bytes(SHORT)
    return str(path)


async def test_a_file_is_submitted_listed_moved_shown_and_deleted(
    job: Command, host: JobHost, file: str
) -> None:
    code, said, errors = await job("submit", file, "--passes", "2")
    hint = f"`usbshare-bridge job start 1 --target 127.0.0.1:{host.job_port}` starts it"
    assert (code, said) == (
        0,
        f"job 1: box.gcode, in the queue of 'laser' at place 1; {hint}\n",
    ), errors
    await job("submit", file, "--name", "lid", "--attended")
    _, said, _ = await job("list")
    rows = [line.split() for line in said.splitlines()[1:]]
    assert [(row[0], row[2], row[3], row[-1]) for row in rows] == [
        ("1", "queued", "1", "box.gcode"),
        ("2", "queued", "2", "lid"),
    ]
    code, said, _ = await job("reorder", "2", "1")
    assert [line.split()[0] for line in said.splitlines()[1:]] == ["2", "1"]
    _, said, _ = await job("show", "1")
    assert "state       queued, place 2" in said
    assert "passes      2, priority 0" in said
    assert (await job("delete", "2"))[:2] == (0, "job 2 is deleted\n")
    assert await job("show", "2") == (1, "", "bridge: there is no job 2 here\n")
    assert (await job("history"))[2] == "bridge: no job has ended there\n"


async def test_json_is_as_the_schema_says(job: Command, file: str) -> None:
    said = {}
    for words, name in (
        (["submit", file], "job"),
        (["show", "1"], "job"),
        (["list"], "jobs"),
        (["reorder", "1", "1"], "jobs"),
        (["history"], "jobs"),
        (["delete", "1"], "job_deleted"),
        (["show", "1"], "error"),
    ):
        _, printed, errors = await job(*words, "--json")
        assert printed, errors
        said[words[0]] = json.loads(printed)
        assert mistakes(said[words[0]], name) == [], words
    assert said["list"][0]["name"] == "box.gcode"


async def test_a_file_comes_through_a_pipe(host: JobHost, tmp_path: Path) -> None:
    script = tmp_path / "pipe.sh"
    (tmp_path / "part").write_bytes(SHORT)
    await asyncio.to_thread(_piped, host, script)
    listed = await asyncio.to_thread(
        completed, ["usbshare-bridge", "job", "list", *target(host), "--json"], host.home
    )
    assert json.loads(listed.stdout)[0]["name"] == "from a pipe"
    assert json.loads(listed.stdout)[0]["size_bytes"] == len(SHORT)


def _piped(host: JobHost, script: Path) -> None:
    def place(words: Sequence[str]) -> list[str]:
        quoted = " ".join(f"'{word}'" for word in words)
        script.write_text(f"cat '{script.parent}/part' | {quoted}\n")
        return ["sh", str(script)]

    command = ["usbshare-bridge", "job", "submit", "-", *target(host), "--name", "from a pipe"]
    with running(command, host.home, place) as process:
        process.wait_for("job 1: from a pipe")


async def test_an_upload_goes_on_when_the_service_dies_and_comes_back(
    host: JobHost, tmp_path: Path
) -> None:
    path = tmp_path / "long.gcode"
    content = b"".join(
        b"G1 X%d Y%d S500 F6000\n" % (n % 40, n // 40 % 40) for n in range(1_000_000)
    )
    path.write_bytes(content)

    def send() -> None:
        with running(["usbshare-bridge", "job", "submit", str(path), *target(host)], host.home) as (
            submit
        ):
            submit.wait_for(r"long.gcode: \d+\.\d of \d+\.\d MB sent")
            assert host.job is not None
            host.job.stop(signal.SIGKILL)
            host.start_job()
            submit.wait_for("job 1: long.gcode", 120.0)

    await asyncio.to_thread(send)
    stored = [each for each in (host.folder / "files").iterdir() if each.suffix == ".gcode"]
    assert [each.read_bytes() for each in stored] == [content]


@pytest.mark.parametrize(
    ("words", "said", "exit_code"),
    [
        (["submit", "nofile"], "cannot use nofile: no such file or directory", 1),
        (["submit", "empty"], "empty is empty", 1),
        (["submit", "text"], "the file contains no G-code; it begins with 'hello'", 1),
        (["submit", "box.gcode", "--passes", "0"], "'--passes'", 2),
        (["submit", "box.gcode", "--port", "mill"], "no port 'mill' here; available: laser", 1),
        (["submit", "box.gcode", "--from-line", "9"], "the file has 5 lines", 1),
        (["submit", "box.gcode", "--despite-errors"], "'--start'", 2),
        (["show", "0"], "0 is not in the range", 2),
        (["hold", "99"], "there is no job 99 here", 1),
        (["watch", "99"], "there is no job 99 here", 1),
        (["pause"], "Use `usbshare-bridge job hold`", 2),
    ],
)
async def test_bad_input_gets_one_clear_line(
    job: Command,
    file: str,
    tmp_path: Path,
    words: list[str],
    said: str,
    exit_code: int,
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello\nworld\n")
    paths = {each: str(tmp_path / each) for each in ("nofile", "empty", "text", "box.gcode")}
    code, printed, errors = await job(*(paths.get(word, word) for word in words))
    shown = errors.replace(str(tmp_path) + "/", "")
    assert said in shown, shown
    assert (code, printed) == (exit_code, "")
    assert "Traceback" not in errors


async def test_a_host_without_jobs_is_one_line(job: Command, host: JobHost) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    done: Any = await asyncio.to_thread(
        completed, ["usbshare-bridge", "job", "list", "--target", nobody], host.home
    )
    assert done.returncode == 1
    assert f"nothing listens at {nobody}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    serial = f"127.0.0.1:{host.serial_port}"
    done = await asyncio.to_thread(
        completed, ["usbshare-bridge", "job", "list", "--target", serial], host.home
    )
    assert done.returncode == 1
    assert "serial-svc" in done.stderr


RUN = b"G21\nG90\n" + b"".join(b"G1 X%d Y%d S100 F1200\n" % (n % 30, n % 2) for n in range(200))


async def test_a_job_is_started_held_resumed_watched_and_cancelled(
    job: Command, host: JobHost, tmp_path: Path
) -> None:
    path = tmp_path / "run.gcode"
    path.write_bytes(RUN)
    code, said, errors = await job("submit", str(path), "--start")
    assert code == 0, errors
    assert "job 1 (run.gcode) on port 'laser' runs: `usbshare-bridge job watch 1" in said
    code, _, errors = await job("resume", "1")
    assert (code, errors) == (1, "bridge: job 1 is running, not held\n")
    _, said, _ = await job("hold", "1", "--reason", "smoke")
    assert "job 1 (run.gcode) on port 'laser' is held: `usbshare-bridge job resume 1" in said
    held = json.loads((await job("show", "1", "--json"))[1])
    assert (held["state"], held["hold_number"]) == ("held", 1)
    code, _, errors = await job("resume", "1", "--hold-number", "0")
    assert (code, len(errors.splitlines())) == (1, 1)
    assert "job 1 (run.gcode) on port 'laser' continues" in (await job("resume", "1"))[1]
    words = ["usbshare-bridge", "job", "watch", "1", *target(host)]

    def watched() -> tuple[int, str]:
        with running(words, host.home) as watch:
            watch.wait_for("job 1 run.gcode: running")
            completed(["usbshare-bridge", "job", "cancel", "1", *target(host), "--json"], host.home)
            return watch.wait(), watch.output

    code, output = await asyncio.to_thread(watched)
    assert code == 1
    assert "job 1 run.gcode: cancelled" in output.splitlines()[-1]
    _, said, _ = await job("history")
    assert said.splitlines()[1].split()[:3] == ["1", "laser", "cancelled"]


async def test_a_job_that_is_finished_is_shown_by_its_watch_and_by_status(
    job: Command, host: JobHost, tmp_path: Path
) -> None:
    path = tmp_path / "run.gcode"
    path.write_bytes(RUN)
    await job("submit", str(path), "--start")
    status = ["serial-svc", "--config", str(host.home / "usbshare.toml"), "status", "--json"]
    done = await asyncio.to_thread(completed, status, host.home)
    found = json.loads(done.stdout)
    assert mistakes(found, "status") == []
    assert found[0]["job"]["job"] == 1
    assert found[0]["job"]["state"] == "running"
    await job("hold", "1")
    with running(["usbshare-bridge", "job", "watch", "1", *target(host)], host.home) as watch:
        await asyncio.to_thread(watch.wait_for, "job 1 run.gcode: held")
        watch.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(watch.wait) == 1
        assert "job 1 is no longer watched here" in watch.output
    assert json.loads((await job("show", "1", "--json"))[1])["state"] == "held"
    await job("resume", "1")
    code, said, _ = await job("watch", "1", "--json")
    assert code == 0
    lines = [json.loads(line) for line in said.splitlines()]
    assert [wrong for each in lines if (wrong := mistakes(each, "job"))] == []
    assert lines[-1]["state"] == "finished"
    assert lines[-1]["progress"]["executed_lines"] == 202


async def test_a_captured_program_becomes_a_job(job: Command, host: JobHost) -> None:
    settings = host.home / "machine.txt"
    settings.write_text("$30=777\n$32=1\n")
    command = ["usbshare-bridge", "job", "submit", *target(host), "--capture", "--vcom", "COM9"]
    command += ["--settings", str(settings)]

    def send(path: str) -> None:
        descriptor = opened(path)
        program = Program(descriptor)
        program.wait_for_banner()
        os.write(descriptor, b"$$\n")
        said = b""
        while not said.endswith(b"ok\r\n"):
            said += os.read(descriptor, 4096)
        assert b"$30=777" in said
        program.send([b"G0 X1\n", b"$X\n", b"G0 X0\n", b"M2\n"])
        os.close(descriptor)

    with running(command, host.home) as submit:
        ready = await asyncio.to_thread(submit.wait_for, r"capturing: open (\S+)")
        await asyncio.to_thread(send, ready[1])
        assert await asyncio.to_thread(submit.wait) == 0, submit.output
        assert "job 1: captured job, in the queue of 'laser' at place 1" in submit.output
    assert json.loads((await job("show", "1", "--json"))[1])["progress"]["lines"] == 3


async def test_a_file_or_a_capture_is_submitted_not_both(job: Command, file: str) -> None:
    code, _, errors = await job("submit", file, "--settings", file)
    assert (code, "'--settings' requires '--capture'" in errors) == (2, True)
    for words in ([], [file, "--capture"]):
        code, _, errors = await job("submit", *words)
        assert code == 2
        assert "Give FILE or '--capture'" in errors
