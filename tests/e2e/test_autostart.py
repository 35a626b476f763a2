"""Starting with the computer, and waiting for a host that starts later."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from fakes.processes import SCRIPTS, free_port, run, running, serial_service
from usbshare.service.autostart.unit_file import command_of


def test_a_bridge_waits_for_a_host_that_is_not_up_yet(tmp_path: Path) -> None:
    with serial_service(tmp_path):
        pass  # the site is made
    port = free_port()
    arguments = ["usbshare-bridge", "--target", f"127.0.0.1:{port}", "--vcom", "COM10", "--wait"]
    with running(arguments, tmp_path) as bridge:
        bridge.wait_for(rf"nothing listens at 127.0.0.1:{port}.*; waiting for it")
        with running(["serial-svc", "--listen", f"127.0.0.1:{port}"], tmp_path) as service:
            service.wait_for("ready at")
            bridge.wait_for("ready: open")
            assert bridge.stop() == 0
    assert bridge.output.count("waiting for it") == 1, bridge.output


def test_a_bridge_waits_for_a_port_that_another_holds(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (_, target):
        one = ["usbshare-bridge", "--target", target, "--vcom", "COM10"]
        other = ["usbshare-bridge", "--target", target, "--vcom", "COM11", "--wait"]
        with running(one, tmp_path) as first:
            first.wait_for("ready: open")
            with running(other, tmp_path) as second:
                second.wait_for("is held by .*; waiting for it")
                assert first.stop() == 0
                second.wait_for("ready: open")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_waiting_bridge_ends_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with serial_service(tmp_path) as (_, target):
        one = ["usbshare-bridge", "--target", target, "--port", "demo", "--vcom", "COM10"]
        with running(one, tmp_path) as holder:
            holder.wait_for("ready: open")
            other = ["usbshare-bridge", "--target", target, "--vcom", "COM11", "--wait"]
            with running(other, tmp_path) as waiting:
                waiting.wait_for("; waiting for it")
                assert waiting.stop(number) == 0
                assert "Aborted" not in waiting.output
            assert holder.stop() == 0


def test_a_repeated_failure_is_reported_once_however_often_it_is_tried(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (_, target):
        said = ["usbshare-bridge", "--target", target, "--vcom", "COM10"]
        with running(said, tmp_path) as bridge:
            bridge.wait_for("ready: open")
        with running([*said[:3], "--vcom", "COM12"], tmp_path) as holder:
            holder.wait_for("ready: open")
            with running(["usbshare-bridge", "--vcom", "COM11", "--wait"], tmp_path) as waiting:
                waiting.wait_for("; waiting for it")
                assert holder.stop() == 0
                waiting.wait_for("ready: open")
    assert waiting.output.count("as last time: --port") == 1, waiting.output
    assert waiting.output.count("as last time: --target") == 1, waiting.output


def test_a_refused_caller_does_not_wait(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (_, target):
        code, output = run(["serial-svc", "pki", "revoke", "operator"], tmp_path)
        assert code == 0, output
        arguments = ["usbshare-bridge", "--target", target, "--vcom", "COM10", "--wait"]
        code, output = run(arguments, tmp_path)
    assert code == 3
    assert "revoked" in output


@pytest.mark.parametrize("program", ["serial-svc", "camera-svc", "discovery-svc", "job-svc"])
def test_a_service_becomes_a_unit_of_its_users_systemd(tmp_path: Path, program: str) -> None:
    arguments = [program, "--listen", "127.0.0.1:5", "install-service", "--user", "--no-start"]
    code, output = run(arguments, tmp_path)
    assert code == 0, output
    path = tmp_path / "config" / "systemd" / "user" / f"{program}.service"
    assert f"written: {path}" in output
    assert f"systemctl --user enable --now {program}" in output
    command = command_of(path.read_text(encoding="utf-8"))
    assert command == [str(SCRIPTS / program), "--listen", "127.0.0.1:5"]


def test_a_bridge_becomes_a_unit_with_what_its_command_line_said(tmp_path: Path) -> None:
    said = ["--target", "my laser", "--port", "laser", "--vcom", "COM10", "--observe"]
    arguments = ["usbshare-bridge", *said, "install-service", "--no-start", "--name", "laser"]
    code, output = run(arguments, tmp_path)
    assert code == 0, output
    path = tmp_path / "config" / "systemd" / "user" / "laser.service"
    command = command_of(path.read_text(encoding="utf-8"))
    assert command[:2] == [str(SCRIPTS / "usbshare-bridge"), "--wait"]
    assert sorted(command[2:]) == sorted(said)


def test_a_service_that_cannot_run_is_not_installed(tmp_path: Path) -> None:
    install = ["install-service", "--system", "--no-start"]
    code, output = run(["usbshare-bridge", *install, "--run-as", "no-such-user"], tmp_path)
    assert code == 2
    assert "there is no user 'no-such-user': create it with `useradd" in output
    code, output = run(["serial-svc", "install-service", "--name", "a/b", "--print"], tmp_path)
    assert code == 2
    assert "--name 'a/b' is not a valid unit name" in output
    assert not os.path.exists("/etc/systemd/system/usbshare-bridge.service")
