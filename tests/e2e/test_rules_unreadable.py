"""A policy that would block its reader: the start says so, a service goes on with what it knows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fakes.processes import run, running, serial_service
from fakes.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no FIFOs")


def policy(home: Path) -> Path:
    return home / "config" / "usbshare" / "policy.toml"


async def test_a_policy_that_blocks_switches_no_revocation_off_and_the_service_ends(
    tmp_path: Path,
) -> None:
    with serial_service(tmp_path) as (service, target):
        os.mkfifo(policy(tmp_path))
        service.wait_for("keeping the previous policy.*policy.toml: it is not a regular file")
        code, output = run(["serial-svc", "doctor"], tmp_path)
        assert code == 1
        assert "policy.toml: it is not a regular file" in output
        whoami = ["bridge", "whoami", "--target", target]
        assert run(whoami, tmp_path)[0] == 0
        code, output = run(["serial-svc", "pki", "revoke", "operator"], tmp_path)
        assert code == 0, output
        await until(lambda: "is revoked" in run(whoami, tmp_path)[1])
        assert service.stop() == 0


@pytest.mark.parametrize("name", ["serial-svc", "camera-svc", "discovery-svc"])
def test_a_start_with_a_policy_that_would_block_is_refused_in_a_line(
    tmp_path: Path, name: str
) -> None:
    policy(tmp_path).parent.mkdir(parents=True)
    os.mkfifo(policy(tmp_path))
    with running([name, "--listen", "127.0.0.1:0"], tmp_path) as service:
        assert service.wait() == 2
        assert "policy.toml: it is not a regular file" in service.output
        assert "Traceback" not in service.output
