"""A configuration folder that hangs, or a FIFO in place of a file, holds nothing up silently."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import pytest

from fakes.frozen_process import frozen_later
from fakes.processes import Process, environment, run
from usbshare.serial_svc.cli import cli

pytestmark = [
    pytest.mark.apart,
    pytest.mark.skipif(sys.platform != "linux", reason="needs FIFOs"),
]

SERVICES = ["serial-svc", "camera-svc", "discovery-svc"]
LISTEN = ["--listen", "127.0.0.1:0"]
BRIDGE = ["bridge", "--target", "127.0.0.1:1", "--vcom"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_what_it_waits_for_and_continues_with_it(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "config"
    with frozen_later([name, *LISTEN], tmp_path, frozen_folder=folder) as process:
        process.wait_for(f"{name}: waiting for the older tool's settings: no answer yet")
        process.wait_for(f"{name}: ignoring the older tool's settings")
        process.wait_for(f"{name}: waiting for {folder}/usbshare: no answer yet")
        assert not process.faults
        process.thaw()
        process.wait_for("ready at")


def test_a_bridge_says_what_it_waits_for_and_continues_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    command = [*BRIDGE, str(tmp_path / "COM10")]
    with frozen_later(command, tmp_path, frozen_folder=folder) as process:
        process.wait_for("bridge: ignoring the older tool's settings")
        process.wait_for(f"bridge: waiting for {folder}/usbshare.*: no answer yet")
        assert not process.faults
        process.thaw()
        process.wait_for("client.pem")
        assert process.process.wait(60) == 2


def test_a_bridge_works_without_the_values_used_last(tmp_path: Path) -> None:
    folder = tmp_path / ".local/state/usbshare"
    with frozen_later(["bridge", "list"], tmp_path, frozen_folder=folder) as process:
        process.wait_for("bridge: waiting for the options used last: no answer yet")
        process.wait_for("bridge: cannot read the options used last: no answer within 5 s")
        assert not process.faults
        assert process.process.wait(60) == 2


COMMANDS = {
    "pki": [
        ["list"],
        ["revoke", "pc"],
        ["totp", "pc"],
        ["roll"],
        ["policy"],
        ["invite", "--name", "pc", "--role", "viewer"],
    ],
    "audit": [["show"], ["verify"], ["show", "--follow"]],
    "devices": [[], ["allow", "1a86:7523"], ["deny", "1a86:7523"], ["forget", "laser"]],
}
# Of all, as its command line has them, so that no new one is forgotten.
EVERY = [[group, *each] for group, commands in COMMANDS.items() for each in commands]
HUNG = [*EVERY, ["doctor"]]


@pytest.mark.parametrize("command", HUNG, ids=" ".join)
def test_a_command_says_what_it_waits_for(tmp_path: Path, command: list[str]) -> None:
    waits = (
        f"serial-svc: waiting for {tmp_path}/config/usbshare and .*: no answer yet; giving "
        "up in 29 s"
    )
    with frozen_later(["serial-svc", *command], tmp_path, frozen_folder=tmp_path) as process:
        process.wait_for(waits)
        assert not process.faults


def test_no_command_of_these_groups_is_forgotten() -> None:
    found = {
        (name, each)
        for name, group in cli.commands.items()
        if name in COMMANDS and isinstance(group, click.Group)
        for each in group.commands
    }
    assert found == {(group, each[0]) for group, *each in EVERY if each}


@pytest.mark.parametrize("command", [*([name, *LISTEN] for name in SERVICES), ["bridge", "list"]])
@pytest.mark.parametrize("is_named", [True, False], ids=["named", "found"])
def test_a_fifo_in_place_of_the_settings_is_one_clear_error(
    tmp_path: Path, command: list[str], is_named: bool
) -> None:
    path = tmp_path / "config/usbshare/usbshare.toml"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    name, *rest = command
    said = [name, "--config", str(path), *rest] if is_named else command
    code, output = run(said, tmp_path)
    assert code == 2
    assert output.splitlines() == [
        f"{name}: configuration file {path} is not a regular file: put one there, or name another "
        "with --config"
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_a_fifo_in_place_of_the_older_settings_holds_nothing_up(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config/USBNetworkShare/server_config.json"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    process = Process([name, "--insecure", *LISTEN], environment(tmp_path))
    process.wait_for("ready at")
    assert "older tool" not in process.output
    assert process.stop() == 0
