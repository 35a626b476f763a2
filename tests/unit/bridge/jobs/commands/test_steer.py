"""`job start`, `hold`, `resume`, `cancel` and an upload that a person interrupts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fakes.remote_jobs import JOB, UploadHost
from usbshare.base.errors import InvalidArgumentError
from usbshare.bridge.cli import cli
from usbshare.bridge.jobs.commands import host as job_target
from usbshare.bridge.jobs.file_source import FileSource
from usbshare.client.jobs.messages import RemoteJob

HELD = replace(JOB, state="held", place=0, hold_number=3)
RUNNING = replace(JOB, state="running", place=0)


class FakeClient:
    """A job client that remembers what was asked of it."""

    calls: list[tuple[Any, ...]]
    upload_host: UploadHost

    def __init__(self, *_: object) -> None:
        self.target = "laser:50055"

    def upload(self) -> Any:
        return self.upload_host.upload()

    async def close(self) -> None: ...

    async def get(self, job_id: int) -> RemoteJob:
        self.calls.append(("get", job_id))
        return HELD

    async def enqueue(self, order: object) -> RemoteJob:
        self.calls.append(("enqueue", order))
        return JOB

    async def start(self, job_id: int, **options: bool) -> RemoteJob:
        self.calls.append(("start", job_id, options))
        return RUNNING

    async def hold(self, job_id: int, reason: str) -> RemoteJob:
        self.calls.append(("hold", job_id, reason))
        return HELD

    async def resume(self, job_id: int, hold_number: int) -> RemoteJob:
        self.calls.append(("resume", job_id, hold_number))
        return RUNNING

    async def cancel(self, job_id: int, reason: str) -> RemoteJob:
        self.calls.append(("cancel", job_id, reason))
        return replace(JOB, state="cancelled", place=0)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[FakeClient]:
    monkeypatch.setattr(job_target, "JobClient", FakeClient)
    FakeClient.calls, FakeClient.upload_host = [], UploadHost()
    return FakeClient


@pytest.fixture
def job(client: type[FakeClient], tmp_path: Path) -> Callable[..., Result]:
    (tmp_path / "u.toml").write_text("[bridge]\nremember = false\n")

    def call(*words: str) -> Result:
        target = ["--config", str(tmp_path / "u.toml"), "--insecure", "--target", "127.0.0.1"]
        return CliRunner().invoke(cli, [*target, "job", *words])

    return call


def test_a_hold_says_what_continues_it(job: Callable[..., Result], client: FakeClient) -> None:
    done = job("hold", "17", "--reason", "smoke")
    assert done.stdout == (
        "job 17 (box.gcode) on port 'laser' is held: `usbshare-bridge job resume 17 "
        "--target 127.0.0.1` continues\n"
    )
    assert client.calls == [("hold", 17, "smoke")]


def test_a_resume_names_the_hold_that_was_seen(
    job: Callable[..., Result], client: FakeClient
) -> None:
    assert job("resume", "17").stdout == "job 17 (box.gcode) on port 'laser' continues\n"
    assert client.calls == [("get", 17), ("resume", 17, 3)]
    client.calls.clear()
    job("resume", "17", "--hold-number", "2")
    assert client.calls == [("resume", 17, 2)]


def test_a_cancel_and_a_start_say_what_became_of_it(
    job: Callable[..., Result], client: FakeClient
) -> None:
    assert job("cancel", "17").stdout == "job 17 (box.gcode) on port 'laser' is cancelled\n"
    done = job("start", "17", "--auto-advance", "--json")
    assert json.loads(done.stdout)["state"] == "running"
    assert client.calls[-1] == ("start", 17, {"auto_advance": True, "despite_errors": False})


def test_a_start_prints_what_the_host_remarks(
    job: Callable[..., Result], client: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(_self: FakeClient, _job_id: int, **_options: bool) -> RemoteJob:
        return replace(RUNNING, reason="it may leave the machine's travel")

    monkeypatch.setattr(client, "start", start)
    said = job("start", "17").stderr
    assert said.endswith("bridge: job 17: it may leave the machine's travel\n")


def test_a_job_submitted_with_start_runs(
    job: Callable[..., Result], client: FakeClient, tmp_path: Path
) -> None:
    (tmp_path / "box.gcode").write_bytes(b"G1 X1\n")
    done = job("submit", str(tmp_path / "box.gcode"), "--start", "--priority", "-5")
    assert done.exit_code == 0, done.output
    assert "runs: `usbshare-bridge job watch 17 --target 127.0.0.1` shows how far it is" in (
        done.stdout
    )
    assert [call[0] for call in client.calls] == ["enqueue", "start"]
    assert client.calls[0][1].priority == -5
    assert client.upload_host.content == b"G1 X1\n"


def test_ctrl_c_leaves_an_upload_that_goes_on_later(
    job: Callable[..., Result],
    client: FakeClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "box.gcode"
    path.write_bytes(b"G1 X1\n" * 20_000)
    read = FileSource.read

    def interrupted(self: FileSource, offset: int, size: int) -> bytes:
        if offset:
            raise KeyboardInterrupt
        return read(self, offset, size)

    monkeypatch.setattr(FileSource, "read", interrupted)
    done = job("submit", str(path))
    assert done.exit_code == 1
    assert "the same command continues there" in done.stderr
    assert not client.calls


def test_a_file_that_changes_is_one_line(
    job: Callable[..., Result], client: FakeClient, tmp_path: Path
) -> None:
    path = tmp_path / "box.gcode"
    path.write_bytes(b"G1 X1\n" * 20_000)
    begin = client.upload_host.upload

    def changing() -> Any:
        path.write_bytes(b"G1 X2\n")
        return begin()

    client.upload_host.upload = changing  # type: ignore[method-assign]
    done = job("submit", str(path))
    assert isinstance(done.exception, InvalidArgumentError)
    assert str(done.exception).startswith("box.gcode changed during the upload")
    assert not client.calls
