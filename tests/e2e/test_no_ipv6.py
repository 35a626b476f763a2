"""A computer whose kernel has no IPv6: every service serves at its IPv4 addresses."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from fakes import no_ipv6
from fakes.namespaces import Wire, joined_namespaces
from fakes.processes import SCRIPTS, run, running

pytestmark = pytest.mark.skipif(not no_ipv6.can_be(), reason="needs Linux's seccomp")


def without_ipv6(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, str(Path(no_ipv6.__file__)), *arguments]


def test_services_and_bridge_fall_back_to_ipv4(tmp_path: Path) -> None:
    with joined_namespaces() as wire, ExitStack() as exits:

        def at_host(arguments: Sequence[str]) -> list[str]:
            return wire.host.command(without_ipv6(arguments))

        for service in ("serial-svc", "camera-svc", "discovery-svc"):
            process = exits.enter_context(running([service], tmp_path, at_host))
            process.wait_for(r"no IPv6: listening at 0\.0\.0\.0")
            process.wait_for(f"{service} ready at")
        code, output = run(["serial-svc", "doctor"], tmp_path, at_host)
        assert code == 0, output
        assert "report this as a bug" not in output
        invite = ["pki", "invite", "--name", "office-pc", "--role", "operator"]
        code, output = run(
            ["serial-svc", *invite, "--address", wire.host.address], tmp_path, at_host
        )
        assert code == 0, output
        _use(output.splitlines()[0], wire, tmp_path / "pc")


def _use(string: str, wire: Wire, home: Path) -> None:
    def at_pc(arguments: Sequence[str]) -> list[str]:
        return wire.client.command(without_ipv6(arguments))

    bridge = str(SCRIPTS / "usbshare-bridge")
    code, output = run([bridge, "enroll", string], home, at_pc)
    assert code == 0, output
    with running([bridge], home, at_pc) as process:
        process.wait_for("ready: open .*COM10")
