"""The examples of docs/protocol.md, run as their readers run them."""

from __future__ import annotations

import json
import os
import pty
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.processes import SCRIPTS, run, running, serial_service

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def target(home: Path) -> Iterator[str]:
    config = home / "grbl.toml"
    config.write_text('[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n')
    with serial_service(home, "--config", str(config)) as (_, target):
        yield target


@pytest.fixture
def bundle(home: Path, target: str) -> str:
    return str(home / "config" / "usbshare" / "client.pem")


def test_the_python_example_jogs_and_closes_cleanly(home: Path, target: str, bundle: str) -> None:
    code, output = run(["python", str(EXAMPLES / "jog.py"), target, bundle], home)
    assert code == 0, output
    first, *answers, last = output.splitlines()
    assert first.startswith("opened port 'laser', session ")
    assert len(answers) == 3
    assert all(answer.endswith("ok") for answer in answers)
    assert last == "closed"


def test_the_python_example_does_not_go_on_after_a_stop(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    config = tmp_path / "grbl.toml"
    config.write_text(f'[ports.laser]\nsource = "{os.ttyname(slave)}"\nprofile = "grbl"\n')
    with serial_service(tmp_path, "--config", str(config)) as (_, target):
        bundle = tmp_path / "config" / "usbshare" / "client.pem"
        command = ["python", str(EXAMPLES / "jog.py"), target, str(bundle)]
        with running(command, tmp_path) as jog:
            read_until(master, b"$J=G91 X5 F3000\n")
            code, said = run(["usbshare-bridge", "stop", "--target", target], tmp_path)
            assert code == 0, said
            assert jog.process.wait(60) == 1
        assert jog.output.splitlines()[-1].startswith("a stop or a reset has ended"), jog.output
    os.close(slave)
    os.close(master)


def read_until(descriptor: int, end: bytes) -> None:
    data = b""
    while not data.endswith(end):
        data += os.read(descriptor, 4096)


def test_the_python_example_shows_the_services_error(home: Path, target: str, bundle: str) -> None:
    code, output = run(["python", str(EXAMPLES / "jog.py"), target, bundle, "lathe"], home)
    assert code == 1
    assert output == "NOT_FOUND: no port 'lathe' here; available: laser"


def test_a_generic_client_finds_and_calls_the_methods(home: Path, target: str, bundle: str) -> None:
    path = f"PATH={SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    script = str(EXAMPLES / "list_ports.sh")
    code, output = run(["/usr/bin/env", path, "sh", script, target, bundle], home)
    assert code == 0, output
    methods, brace, ports = output.partition("{")
    assert "usbshare.serial.v1.SerialService/Session" in methods.splitlines()
    (port,) = json.loads(brace + ports)["ports"]
    assert port["id"] == "laser"
    assert port["profile"] == "PROFILE_GRBL"
