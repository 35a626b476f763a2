"""The services of a computer as child processes: the failure of one does not affect the others."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from fakes.waiting import until
from usbshare.service import supervisor as module
from usbshare.service.supervisor import cli, installed, run_services

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs signals")


class Service:
    """A script that notes its starts and its ends, and does what `plan` says at each start."""

    def __init__(self, folder: Path, name: str, plan: str) -> None:
        self.command = folder / name
        self.notes = folder / f"{name}.notes"
        self.notes.touch()
        self.command.write_text(
            f"#!{sys.executable}\n"
            "import os, select, signal, sys, time\n"
            "def note(word):\n"
            f"    with open({str(self.notes)!r}, 'a') as file: print(word, file=file)\n"
            "def ended(*_):\n"
            "    note('asked'); sys.exit(0)\n"
            # A signal just before a sleep would not end it, and its handler wait as long.
            "woken, wake = os.pipe()\n"
            "os.set_blocking(wake, False)\n"
            "signal.set_wakeup_fd(wake)\n"
            "signal.signal(signal.SIGTERM, ended)\n"
            f"start = open({str(self.notes)!r}).read().count('start')\n"
            "note('start')\n"
            f"{plan}\n"
            "while True: select.select([woken], [], []); os.read(woken, 1)\n"
        )
        self.command.chmod(0o755)

    @property
    def words(self) -> list[str]:
        return self.notes.read_text().split()


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)


@pytest.fixture
async def stop() -> AsyncIterator[None]:
    """Leave no handler of ours behind: the loop is every test's."""
    yield
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().remove_signal_handler(number)


def _have_started(services: list[Service]) -> bool:
    return all(each.words for each in services)


@pytest.mark.usefixtures("stop")
async def test_all_services_run_until_a_signal_and_then_end(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        services = [Service(tmp_path, f"{name}-{number}", "") for name in ("one", "two")]
        running = asyncio.create_task(run_services([each.command for each in services]))
        await until(partial(_have_started, services))
        signal.raise_signal(number)
        assert await running == 0
        assert [each.words for each in services] == [["start", "asked"]] * 2


@pytest.mark.usefixtures("stop")
async def test_a_service_that_ends_is_restarted_and_the_others_keep_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steady = Service(tmp_path, "steady", "")
    weak = Service(
        tmp_path, "weak", "if start == 0: sys.exit(1)\nif start == 1: os.kill(os.getpid(), 9)"
    )
    running = asyncio.create_task(run_services([steady.command, weak.command]))
    await until(lambda: weak.words == ["start"] * 3 and steady.words)
    signal.raise_signal(signal.SIGTERM)
    assert await running == 0
    assert steady.words == ["start", "asked"]
    assert "weak ended (exit code 1): restarting it in 0.01 s" in caplog.text
    assert "weak ended (signal 9): restarting it in 0.02 s" in caplog.text


@pytest.mark.usefixtures("stop")
async def test_a_wrong_configuration_of_one_ends_all(tmp_path: Path) -> None:
    steady = Service(tmp_path, "steady", "")
    wrong = Service(
        tmp_path,
        "wrong",
        f"while not os.path.getsize({str(steady.notes)!r}): time.sleep(0.01)\nsys.exit(2)",
    )
    assert await run_services([steady.command, wrong.command]) == 2
    assert steady.words == ["start", "asked"]


@pytest.mark.usefixtures("stop")
async def test_a_configuration_that_becomes_wrong_later_ends_no_other_service(
    tmp_path: Path,
) -> None:
    steady = Service(tmp_path, "steady", "")
    plan = "if start == 0: sys.exit(1)\nif start == 1: sys.exit(2)"
    later = Service(tmp_path, "later", plan)
    running = asyncio.create_task(run_services([steady.command, later.command]))
    await until(lambda: later.words == ["start"] * 3 and steady.words)
    signal.raise_signal(signal.SIGTERM)
    assert await running == 0
    assert steady.words == ["start", "asked"]


@pytest.mark.usefixtures("stop")
async def test_a_service_that_does_not_end_when_asked_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.05)
    deaf = Service(tmp_path, "deaf", "signal.signal(signal.SIGTERM, signal.SIG_IGN); note('deaf')")
    running = asyncio.create_task(run_services([deaf.command]))
    await until(lambda: "deaf" in deaf.words)
    signal.raise_signal(signal.SIGTERM)
    assert await running == 0
    assert "deaf did not end within 0.05 s: killed" in caplog.text


def test_only_services_that_are_installed_are_run(tmp_path: Path) -> None:
    assert installed(tmp_path) == []
    commands = [Service(tmp_path, name, "").command for name in ("discovery-svc", "serial-svc")]
    (tmp_path / "bridge").touch(mode=0o755)
    assert sorted(installed(tmp_path)) == sorted(commands)


def test_help_describes_the_command_and_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_services", pytest.fail)
    for option in ("--help", "-h"):
        result = CliRunner().invoke(cli, [option])
        assert result.exit_code == 0
        assert "Run services of this host" in result.output


def test_an_unknown_service_or_option_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_services", pytest.fail)
    for argument in ("serial", "--all"):
        result = CliRunner().invoke(cli, ["serial-svc", argument])
        assert result.exit_code == 2
        assert argument in result.output


def test_a_service_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_services", pytest.fail)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    Service(tmp_path, "serial-svc", "")
    result = CliRunner().invoke(cli, ["serial-svc", "camera-svc"])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: not installed in {tmp_path}: camera-svc\n",
    )
    monkeypatch.setattr(sys, "executable", str(tmp_path / "elsewhere/python"))
    result = CliRunner().invoke(cli, [])
    assert result.exit_code == 1
    assert "no service" in result.output


def test_a_service_that_is_named_twice_runs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[Path] = []

    async def note(commands: list[Path]) -> int:
        run.extend(commands)
        return 0

    monkeypatch.setattr(module, "run_services", note)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    service = Service(tmp_path, "serial-svc", "")
    assert CliRunner().invoke(cli, ["serial-svc", "serial-svc"]).exit_code == 0
    assert run == [service.command]
