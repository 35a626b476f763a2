"""Resetting a machine, and handing over control of it: real processes and certificates."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from fakes.esp32_board import FIRMWARE, Esp32Board
from fakes.processes import SCRIPTS, SEND, environment, run, running, serial_service, simulated
from fakes.rfc2217_controller import rfc2217_server
from fakes.waiting import until

SETTINGS = """
[ports.demo]
source = "sim://marlin?reset_on_dtr=1"
profile = "marlin"

[ports.grbl]
source = "sim://grbl"
profile = "grbl"
"""
ADMIN_ONLY = '[[grants]]\nwho = ["operator"]\nrights = ["control"]\n'
DEADLINE_S = 60.0


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    config = tmp_path / "settings.toml"
    config.write_text(SETTINGS, encoding="ascii")
    with serial_service(tmp_path, "--config", str(config)) as (_, target):
        yield target


def bridge(home: Path, *arguments: str) -> tuple[int, str]:
    return run(["usbshare-bridge", *arguments], home)


def audited(home: Path, event: str) -> list[dict[str, object]]:
    code, output = run(["serial-svc", "audit", "show", "--json"], home)
    assert code == 0, output
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == event]


async def test_a_killed_marlin_runs_again(tmp_path: Path, target: str) -> None:
    where = ["--target", target, "--port", "demo"]
    assert "ok" in bridge(tmp_path, *SEND, *where, "M105")[1]
    code, output = bridge(tmp_path, "stop", *where)
    assert code == 0, output
    assert bridge(tmp_path, "stop", "--rearm", *where)[0] == 0
    assert "ok" not in bridge(tmp_path, "send", *where, "--quiet", "0.5", "M105")[1]
    code, output = bridge(tmp_path, "reset", *where, "--reason", "after M112")
    assert code == 0, output
    assert "port 'demo' was reset: DTR was pulsed" in output
    assert "ok" in bridge(tmp_path, *SEND, *where, "M105")[1]
    await until(lambda: audited(tmp_path, "reset"))
    (noted,) = audited(tmp_path, "reset")
    assert noted["pulsed_dtr"] is True
    assert noted["reason"] == "after M112"
    assert str(noted["who"]).endswith("/operator")


@pytest.mark.parametrize("lines", ["", "dtr = false\nrts = false\n", "rts = false\n"])
def test_a_board_with_an_esp32_is_reset_by_rts(tmp_path: Path, lines: str) -> None:
    board, config = Esp32Board(), tmp_path / "settings.toml"
    with rfc2217_server(board) as url:
        config.write_text(f'[ports.demo]\nsource = "{url}"\nprofile = "grbl"\n{lines}', "ascii")
        with serial_service(tmp_path, "--config", str(config)) as (_, target):
            where = ["--target", target]
            assert "[VER:" in bridge(tmp_path, *SEND, *where, "$I")[1]
            opened = board.levels
            assert board.boots == []
            code, output = bridge(tmp_path, "reset", *where, "--rts", "--json")
            assert code == 0, output
            found = json.loads(output.splitlines()[-1])
            assert (found["pulsed_rts"], found["pulsed_dtr"], found["sent"]) == (True, False, "")
            assert board.boots == [FIRMWARE]
            assert board.levels == opened
            assert "port 'demo' was reset: RTS" in bridge(tmp_path, "reset", *where, "--rts")[1]
    assert [each["pulsed_rts"] for each in audited(tmp_path, "reset")] == [True, True]


def test_a_reset_leaves_a_latch_and_says_how_it_is_released(tmp_path: Path, target: str) -> None:
    where = ["--target", target, "--port", "grbl"]
    assert bridge(tmp_path, "stop", *where)[0] == 0
    code, output = bridge(tmp_path, "reset", *where)
    assert code == 0, output
    assert "port 'grbl' was reset: sent 0x18" in output
    assert "it is latched until `usbshare-bridge stop --rearm" in output
    code, output = bridge(tmp_path, "send", *where, "$I")
    assert code == 1
    assert "latched" in output


def test_a_device_without_a_dtr_line_is_not_reset_and_continues(tmp_path: Path) -> None:
    with simulated("marlin", tmp_path) as (device, _):
        config = tmp_path / "settings.toml"
        config.write_text(f'[ports.demo]\nsource = "{device}"\nprofile = "marlin"\n', "ascii")
        with serial_service(tmp_path, "--config", str(config)) as (_, target):
            where = ["--target", target]
            vcom = str(tmp_path / "run" / "usbshare" / "COM10")
            with running(["usbshare-bridge", *where, "--vcom", "COM10"], tmp_path) as holder:
                holder.wait_for("ready: open")
                with serial.Serial(vcom, 115200, timeout=DEADLINE_S) as port:
                    code, output = bridge(tmp_path, "reset", *where, "--yes")
                    assert code == 1
                    assert "port 'demo' cannot be reset from here" in output
                    assert "use the machine's own switch" in output
                    port.write(b"M105\n")
                    while not (line := port.readline()).startswith(b"ok"):
                        assert line
                assert "hung up" not in holder.output


def test_while_a_job_runs_a_reset_needs_confirmation(tmp_path: Path, target: str) -> None:
    where = ["--target", target, "--port", "grbl"]
    with running(["usbshare-bridge", *where, "--vcom", "COM10"], tmp_path) as holder:
        holder.wait_for("ready: open")
        code, output = bridge(tmp_path, "reset", *where)
        assert code == 1
        assert "is held by" in output
        assert "confirm with --yes" in output
        assert asked(tmp_path, ["reset", *where], b"n\n") == 1
        assert "hung up" not in holder.output
        assert asked(tmp_path, ["reset", *where], b"y\n") == 0
        holder.wait_for("was hung up")
        vcom = str(tmp_path / "run" / "usbshare" / "COM10")
        with serial.Serial(vcom, 115200, timeout=DEADLINE_S) as port:
            port.write(b"$I\n")
            assert port.readline().endswith(b"\n")
        code, output = bridge(tmp_path, "reset", *where, "--yes")
        assert code == 0, output


def asked(home: Path, arguments: list[str], answer: bytes) -> int:
    """Run a command at a terminal and answer its question; returns the exit code."""
    master, slave = pty.openpty()
    command = [str(SCRIPTS / "usbshare-bridge"), *arguments]
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=subprocess.DEVNULL,
        stderr=slave,
        env={**os.environ, **environment(home)},
    )
    os.close(slave)
    said = b""
    while b"Reset the machine?" not in said:
        said += os.read(master, 4096)
    os.write(master, answer)
    code = process.wait(DEADLINE_S)
    os.close(master)
    return code


def test_a_port_is_handed_over_to_the_client_that_asks(tmp_path: Path, target: str) -> None:
    where = ["--target", target, "--port", "grbl"]
    with running(["usbshare-bridge", *where, "--vcom", "COM10"], tmp_path) as holder:
        holder.wait_for("ready: open")
        code, output = bridge(tmp_path, *where, "--vcom", "COM11")
        assert code == 1
        assert "--wait asks for it and waits, --take takes it" in output
        waits = ["usbshare-bridge", *where, "--vcom", "COM11", "--wait"]
        with running(waits, tmp_path) as waiting:
            waiting.wait_for("the holder was asked to hand it over")
            holder.wait_for(r"/operator \(bridge .*\) asks for control: to hand it over, end this")
            assert holder.stop() == 0
            waiting.wait_for("ready: open")


def test_an_administrator_takes_control(tmp_path: Path, target: str) -> None:
    where = ["--target", target, "--port", "grbl"]
    with running(["usbshare-bridge", *where, "--vcom", "COM10"], tmp_path) as holder:
        holder.wait_for("ready: open")
        takes = ["usbshare-bridge", *where, "--vcom", "COM11", "--take"]
        with running(takes, tmp_path) as taking:
            taking.wait_for("ready: open")
            assert holder.wait() == 3
            assert "control of port 'grbl' was taken by usbshare://" in holder.output
            assert "link lost" not in holder.output
    (noted,) = audited(tmp_path, "control taken from another")
    assert noted["taken_from"] == noted["who"]


def test_a_machine_at_work_is_held_when_its_control_is_taken(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (service, target):
        bridge_command = ["usbshare-bridge", "--target", target, "--vcom"]
        vcom = str(tmp_path / "run" / "usbshare" / "COM10")
        with running([*bridge_command, "COM10"], tmp_path) as holder:
            holder.wait_for("ready: open")
            with serial.Serial(vcom, 115200, timeout=DEADLINE_S) as port:
                port.write(b"M3 S500\nG1 X500 F100\n")
                while not (line := port.readline()).startswith(b"ok"):
                    assert line
                with running([*bridge_command, "COM11", "--take"], tmp_path) as taking:
                    service.wait_for("safety door on port 'demo' by link-loss policy: sent")
                    taking.wait_for("a job was lost, and programs are refused")
                    taking.wait_for("ready: open")
                    assert holder.wait() == 3


def test_a_caller_with_only_control_takes_nothing(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (service, target):
        policy = tmp_path / "config" / "usbshare" / "policy.toml"
        policy.write_text(ADMIN_ONLY, encoding="ascii")
        service.wait_for("the policy of .* is in force")
        where = ["--target", target, "--port", "demo"]
        with running(["usbshare-bridge", *where, "--vcom", "COM10"], tmp_path) as holder:
            holder.wait_for("ready: open")
            code, output = bridge(tmp_path, *where, "--vcom", "COM11", "--take")
            assert code == 3
            assert "admin" in output
            assert bridge(tmp_path, "list", "--target", target)[0] == 0
            assert holder.stop() == 0
