"""A process that starts warm finds what one finds that an interpreter starts for it alone."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from fakes import warm
from fakes.namespaces import joined_namespaces
from fakes.processes import Process, completed, environment, run, running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SERVICE = ["serial-svc", "--listen", "127.0.0.1:0"]
LIST = ["bridge", "list", "--insecure", "--target", "127.0.0.1:1"]
SAME = re.compile(r"^(Umask|Sig(?:Blk|Ign|Cgt)|Cap\w+|NoNewPrivs):.*$", re.MULTILINE)


def opened_by(pid: int) -> dict[str, str]:
    """Return what its descriptors lead to."""
    folder = Path(f"/proc/{pid}/fd")
    return {each.name: os.readlink(each) for each in folder.iterdir() if each.is_symlink()}


def found_by(process: Process) -> tuple[list[str], list[str], str, str]:
    """Return its signals and rights, the kinds of its three streams, its folder and network."""
    process.wait_for("ready")
    pid = process.process.pid
    while "SigBlk:\t0000000000000000" not in (text := Path(f"/proc/{pid}/status").read_text()):
        """It is just starting a thread, which gets no signals."""
    status = [match[0] for match in SAME.finditer(text)]
    streams = [opened_by(pid)[number].partition(":")[0] for number in "012"]
    return status, streams, os.readlink(f"/proc/{pid}/cwd"), os.readlink(f"/proc/{pid}/ns/net")


def test_it_finds_what_a_cold_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with running(SERVICE, tmp_path) as first:
        assert isinstance(first.process, warm.WarmProcess)
        found = found_by(first)
    monkeypatch.setattr(warm.Nursery, "is_used", False)
    with running(SERVICE, tmp_path) as second:
        assert not isinstance(second.process, warm.WarmProcess)
        assert found_by(second) == found


def test_it_inherits_no_descriptor_of_others(tmp_path: Path) -> None:
    with running(SERVICE, tmp_path) as first, running(SERVICE, tmp_path) as second:
        first.wait_for("ready")
        second.wait_for("ready")
        others = {*opened_by(warm.Nursery.running().pid).values()}
        others |= {*opened_by(first.process.pid).values()}
        shared = others & {*opened_by(second.process.pid).values()}
        assert not [each for each in shared if each.startswith(("socket:", "pipe:"))]
        assert "anon_inode:[pidfd]" not in opened_by(second.process.pid).values()


def test_its_environment_is_its_own(tmp_path: Path) -> None:
    config = tmp_path / "here.toml"
    config.write_text("nonsense = 1\n")
    words = ["serial-svc", "--check-config"]
    process = Process(words, {**environment(tmp_path), "USBSHARE_CONFIG": str(config)})
    assert process.wait() == 2
    process.stop()
    assert "nonsense" in process.output
    assert run(words, tmp_path)[0] == 0


def test_it_is_in_a_network_namespace_as_a_cold_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> tuple[str, str, list[str]]:
        with running(SERVICE, tmp_path, wire.host.command) as service:
            service.wait_for("ready")
            here = Path(f"/proc/{service.process.pid}")
            networks = sorted(each.name for each in (here / "root/sys/class/net").iterdir())
            mounted = (here / "mountinfo").read_text().splitlines()
            of_sys = next(line.partition(" - ")[2] for line in mounted if " /sys " in line)
            return os.readlink(here / "ns/net"), of_sys, networks

    with joined_namespaces() as wire:
        warm_one = found()
        monkeypatch.setattr(warm.Nursery, "is_used", False)
        assert found() == warm_one
        assert "wire" in warm_one[2]


def test_how_it_ended_is_reported(tmp_path: Path) -> None:
    with running(SERVICE, tmp_path) as service:
        service.wait_for("ready")
        assert service.process.poll() is None
        assert service.stop(signal.SIGKILL) == -signal.SIGKILL


def test_its_streams_are_apart(tmp_path: Path) -> None:
    done = completed(["bridge", "list", "--nonsense"], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--nonsense" in done.stderr


@pytest.mark.parametrize("words", [SERVICE, LIST])
def test_its_grpc_is_imported_in_its_own_environment(tmp_path: Path, words: list[str]) -> None:
    def said(**grpc: str) -> str:
        process = Process(words, {**environment(tmp_path), **grpc})
        try:
            process.wait_for("ready|127.0.0.1:1")
        finally:
            process.stop()
        assert isinstance(process.process, warm.WarmProcess)
        return process.output

    assert "gRPC Tracers: tcp" in said(GRPC_VERBOSITY="INFO", GRPC_TRACE="tcp")
    assert "gRPC Tracers" not in said()


@pytest.mark.parametrize("name", ["PYTHONWARNINGS", "LD_PRELOAD", "LC_ALL"])
def test_a_variable_read_only_at_startup_needs_a_cold_interpreter(name: str) -> None:
    script = [str(warm.SCRIPTS / "serial-svc")]
    surroundings = {**os.environ, "PYTHONUNBUFFERED": "1"}
    assert warm.can_be_warm(script, surroundings)
    assert not warm.can_be_warm(script, {**surroundings, name: "another"})
