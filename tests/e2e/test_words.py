"""What a person reads when the host will not, cannot, or does not answer."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from fakes.processes import Process, camera_service, run, running, serial_service

# Parts of gRPC's own texts.
RAW = re.compile(
    r"Socket closed|Stream removed|UNKNOWN:|ipv4:|ipv6:|Connection refused \(|GOAWAY|"
    r"failed to connect|StatusCode|Deadline Exceeded|Method not found|RPC"
)
REVOKED = "the certificate of operator is revoked"


def revoke(home: Path) -> None:
    code, output = run(["serial-svc", "pki", "revoke", "operator"], home)
    assert code == 0, output


def ended(process: Process, code: int = 3) -> list[str]:
    """Wait for its end with an error; returns the lines since it was ready."""
    assert process.wait() == code
    lines = process.output.splitlines()
    ready = next(index for index, line in enumerate(lines) if line.startswith("ready"))
    return lines[ready + 1 :]


def test_a_revoked_bridge_says_so_once_and_ends(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (_, target):
        arguments = ["usbshare-bridge", "--target", target, "--vcom", "COM10"]
        with running(arguments, tmp_path) as bridge:
            bridge.wait_for("ready: open")
            revoke(tmp_path)
            told = ended(bridge)
    assert told[0] == "the host has ended this session"
    assert REVOKED in told[1]
    assert len(told) == 2, told


def test_a_revoked_viewer_of_a_camera_says_so_once_and_ends(tmp_path: Path) -> None:
    with camera_service(tmp_path) as (_, target):
        arguments = ["usbshare-bridge", "camera", "--target", target, "--http", "127.0.0.1:0"]
        with running(arguments, tmp_path) as viewer:
            viewer.wait_for("ready: camera")
            revoke(tmp_path)
            told = ended(viewer, 1)
    assert sum(REVOKED in line for line in told) == 1, told
    assert not any("trying again" in line for line in told)


def test_a_bridge_whose_rights_end_says_so_and_ends(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (service, target):
        arguments = ["usbshare-bridge", "--target", target, "--vcom", "COM10"]
        with running(arguments, tmp_path) as bridge:
            bridge.wait_for("ready: open")
            policy = tmp_path / "config" / "usbshare" / "policy.toml"
            policy.write_text('[[grants]]\nwho = ["operator"]\nrights = ["view"]\n', "ascii")
            service.wait_for("the policy of .* is in force")
            told = ended(bridge)
    assert told[0] == "the host has ended this session"
    assert "may not" in told[1] or "right" in told[1], told
    assert not any("link lost" in line for line in told)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_loss_of_a_service_is_reported_without_texts_of_grpc(
    tmp_path: Path, number: signal.Signals
) -> None:
    with serial_service(tmp_path) as (service, target):
        arguments = ["usbshare-bridge", "--target", target, "--vcom", "COM10"]
        with running(arguments, tmp_path) as bridge:
            bridge.wait_for("ready: open")
            service.process.send_signal(number)
            bridge.wait_for("connecting again in .*nothing listens")
            bridge.stop()
    assert "link lost: " in bridge.output
    assert not RAW.search(bridge.output), bridge.output


def test_a_command_that_takes_longer_than_a_second_says_what_it_does(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (service, target):
        where = ["--target", target]
        bridge_command = ["usbshare-bridge", *where, "--vcom", "COM10"]
        with running(bridge_command, tmp_path) as ready:
            ready.wait_for("ready: open")
            service.process.send_signal(signal.SIGSTOP)
            try:
                ready.process.send_signal(signal.SIGTERM)
                ready.wait_for("ending: sending what the program wrote to")
                with running(bridge_command, tmp_path) as bridge:
                    bridge.wait_for(f"connecting to {target}")
                for command in (["whoami"], ["list"], ["send", "?"], ["stop", "--hold"]):
                    with running(["usbshare-bridge", *command, *where], tmp_path) as waiting:
                        waiting.wait_for("waiting for .* to answer")
            finally:
                service.process.send_signal(signal.SIGCONT)


def test_waiting_for_a_camera_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    with camera_service(tmp_path) as (service, target):
        camera = ["usbshare-bridge", "camera", "--target", target]
        service.process.send_signal(signal.SIGSTOP)
        try:
            with running([*camera, "--http", "127.0.0.1:0"], tmp_path) as viewer:
                viewer.wait_for(f"connecting to {target}")
            with running([*camera, "--snapshot", str(tmp_path / "x.jpg")], tmp_path) as snapshot:
                snapshot.wait_for(f"waiting for {target} to answer")
        finally:
            service.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["send", "?"],
        ["stop"],
        ["stop", "--rearm"],
        ["--vcom", "COM10"],
        ["discover", "--once", "--via"],
        ["doctor"],
    ],
)
def test_a_wrong_service_is_named(tmp_path: Path, command: list[str]) -> None:
    with camera_service(tmp_path) as (_, target):
        where = [target] if command[-1] == "--via" else ["--target", target]
        _, output = run(["usbshare-bridge", *command, *where], tmp_path)
    assert f"camera-svc listens at {target}" in output
    wanted = "discovery-svc" if where == [target] else "serial-svc"
    assert wanted in output
    assert not RAW.search(output), output
