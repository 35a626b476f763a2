"""What docs/installation.md says of moving a host and of starting over, done as it says."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.documented import ROOT
from fakes.processes import SCRIPTS, SEND, Process, environment, run, wait_for_listener

PAGE = (ROOT / "docs" / "installation.md").read_text(encoding="utf-8")
FILES = ("rm", "mkdir", "cp", "chmod")


def commands_of(section: str) -> list[str]:
    """Return the section's commands that are about files."""
    text = PAGE.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    lines = re.findall(r"^\$ (?:sudo )?(.+)$", text, flags=re.MULTILINE)
    return [line for line in lines if line.split()[0] in FILES]


def in_shell(command: str, home: Path, service_folder: Path) -> None:
    line = command.replace("/var/lib/usbshare", str(service_folder))
    variables = {"HOME": str(home), "PATH": os.environ["PATH"]}
    subprocess.run(["sh", "-c", line], check=True, timeout=60, env=variables)


def as_a_user(home: Path) -> dict[str, str]:
    """Return an environment with the folders that a user has by default."""
    return {**environment(home), "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        enrolment, service = one.getsockname()[1], two.getsockname()[1]
    home = tmp_path / "host"
    folder = home / ".config" / "usbshare"
    folder.mkdir(parents=True)
    (folder / "usbshare.toml").write_text(
        f'[tls]\nenrolment = "127.0.0.1:{enrolment}"\n'
        f'[service]\nlisten = "127.0.0.1:{service}"\n[ports.laser]\nsource = "sim://grbl"\n'
    )
    return home


@contextmanager
def serving(variables: dict[str, str]) -> Iterator[Process]:
    service = Process(["serial-svc"], variables)
    try:
        service.wait_for("ready at")
        yield service
    finally:
        assert service.stop() == 0


def site_of(service: Process) -> str:
    return service.wait_for(r"mTLS, site (\w+)")[1]


def let_in(variables: dict[str, str], pc: Path, *more: str) -> None:
    invited = subprocess.run(
        [SCRIPTS / "serial-svc", "pki", "invite", "--name", "office-pc", "--role", "operator"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    wait_for_listener(invited.stderr)
    code, output = run(["usbshare-bridge", "enroll", *more, invited.stdout.strip()], pc)
    assert code == 0, output


def test_a_host_moves_to_systemd_and_no_pc_notices(host: Path, tmp_path: Path) -> None:
    pc, service_folder = tmp_path / "pc", tmp_path / "var" / "usbshare"
    with serving(as_a_user(host)) as service:
        site = site_of(service)
        let_in(as_a_user(host), pc)
        assert run(["usbshare-bridge", "stop", "--reason", "to be kept"], pc)[0] == 0
    for command in commands_of("From make run-services to systemd"):
        in_shell(command, host, service_folder)
    shutil.rmtree(host / ".config" / "usbshare", ignore_errors=True)
    moved = {**environment(tmp_path / "nobody"), "USBSHARE_HOME": str(service_folder)}
    with serving(moved) as service:
        assert site_of(service) == site
        code, output = run(["usbshare-bridge", "list"], pc)
        assert code == 0, output
        assert "latched" in output
        code, output = run(["usbshare-bridge", "stop", "--rearm"], pc)
        assert code == 0, output
        code, output = run(["usbshare-bridge", *SEND, "$I"], pc)
        assert code == 0, output
        assert "VER:" in output


def test_a_host_starts_over(host: Path, tmp_path: Path) -> None:
    pc = tmp_path / "pc"
    with serving(as_a_user(host)) as service:
        site = site_of(service)
        let_in(as_a_user(host), pc)
    for command in commands_of("Start over"):
        in_shell(command, host, tmp_path)
    with serving(as_a_user(host)) as service:
        assert site_of(service) != site
        code, output = run(["usbshare-bridge", "list"], pc)
        assert code == 1, output
        assert "belong to different sites" in output
        let_in(as_a_user(host), pc, "--force")
        code, output = run(["usbshare-bridge", "list"], pc)
        assert code == 0, output
