"""Each program as a user starts it: by an interpreter that has imported nothing yet."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fakes.processes import run, running, simulated
from fakes.warm import Nursery, WarmProcess

SERVICES = ("serial-svc", "camera-svc", "discovery-svc", "job-svc")
COMMANDS = (
    ["bridge", "list", "--target", "127.0.0.1:1"],
    ["bridge", "send", "--target", "127.0.0.1:1", "$I"],
    ["bridge", "stop", "--target", "127.0.0.1:1"],
    ["bridge", "reset", "--yes", "--target", "127.0.0.1:1"],
    ["bridge", "camera", "--target", "127.0.0.1:1", "--snapshot", "bed.jpg"],
    ["bridge", "doctor", "--target", "127.0.0.1:1"],
    ["bridge", "discover", "--once"],
    ["bridge", "whoami", "--target", "127.0.0.1:1"],
    ["serial-svc", "pki", "list"],
    ["serial-svc", "audit", "verify"],
    ["serial-svc", "doctor"],
)


@pytest.mark.cold
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_in_a_new_interpreter(name: str, tmp_path: Path) -> None:
    with running([name, "--listen", "127.0.0.1:0"], tmp_path) as service:
        service.wait_for(f"{name} ready")
        assert isinstance(service.process, subprocess.Popen)
        assert service.stop() == 0


@pytest.mark.cold
def test_a_simulated_machine_starts_in_a_new_interpreter(tmp_path: Path) -> None:
    with simulated("grbl", tmp_path) as (path, _):
        assert Path(path).exists()


@pytest.mark.cold
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_prints_the_same_cold_and_warm(words: list[str], tmp_path: Path) -> None:
    cold = run(words, tmp_path)
    Nursery.is_used = True
    warm = run(words, tmp_path)
    assert "Traceback" not in cold[1]
    assert warm[0] == cold[0], f"{cold[1]}\n{warm[1]}"


def test_other_tests_start_programs_warm(tmp_path: Path) -> None:
    with running(["serial-svc", "--listen", "127.0.0.1:0"], tmp_path) as service:
        service.wait_for("ready")
        assert isinstance(service.process, WarmProcess)
