"""Programs started with stdout or stderr full or closed: services run, and nothing is a traceback.

For `stop` see test_stop_circumstances.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fakes.processes import DEADLINE_S, SCRIPTS, environment

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")

REDIRECTIONS = {
    "full": ">/dev/full 2>/dev/full",
    "closed": "<&- >&- 2>&-",
    "stdout full": ">/dev/full",
    "stderr full": "2>/dev/full",
}
SERVICES = ["serial-svc", "camera-svc", "discovery-svc"]
# None of them needs a host.
PROGRAMS = {
    "help": ["usbshare-bridge", "--help"],
    "configuration": ["usbshare-bridge", "--check-config"],
    "list": ["usbshare-bridge", "list", "--insecure", "--target", "127.0.0.1:1"],
    "list as JSON": ["usbshare-bridge", "list", "--insecure", "--target", "127.0.0.1:1", "--json"],
    "send": ["usbshare-bridge", "send", "--insecure", "--target", "127.0.0.1:1", "?"],
    "enroll": ["usbshare-bridge", "enroll", "junk"],
    "renew": ["usbshare-bridge", "renew", "--target", "127.0.0.1:1"],
    "whoami": ["usbshare-bridge", "whoami"],
    "bridge doctor": ["usbshare-bridge", "doctor", "--target", "127.0.0.1:1"],
    "doctor": ["serial-svc", "doctor", "--json"],
    "settings": ["serial-svc", "--dump-config"],
    "pki": ["serial-svc", "pki", "list"],
    "audit": ["serial-svc", "audit", "verify"],
    "devices": ["serial-svc", "devices", "list"],
}


def shell(command: Sequence[str], redirection: str) -> list[str]:
    words = [str(SCRIPTS / command[0]), *command[1:]]
    return ["sh", "-c", f'exec "$@" {redirection}', "sh", *words]


@pytest.mark.parametrize("kind", ["full", "closed"])
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_and_ends_cleanly(tmp_path: Path, name: str, kind: str) -> None:
    command = shell([name, "--insecure", "--listen", "127.0.0.1:0"], REDIRECTIONS[kind])
    variables = {**os.environ, **environment(tmp_path)}
    process = subprocess.Popen(command, env=variables)
    try:
        end = time.monotonic() + DEADLINE_S
        while not listens(process.pid):
            assert process.poll() is None, "it ended"
            assert time.monotonic() < end, "it does not listen"
            time.sleep(0.05)
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["stdout full", "stderr full", "closed"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_prints_a_traceback(tmp_path: Path, name: str, kind: str) -> None:
    command = shell(PROGRAMS[name], REDIRECTIONS[kind])
    done = subprocess.run(
        command,
        env={**os.environ, **environment(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert done.returncode in (0, 1, 2)


def listens(pid: int) -> bool:
    """Return whether the process listens on a TCP port of its own."""
    links = Path(f"/proc/{pid}/fd")
    try:
        found = [os.readlink(each) for each in links.iterdir()]
    except OSError:
        return False
    sockets = {match[1] for link in found if (match := re.match(r"socket:\[(\d+)\]", link))}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    rows += [row.split() for row in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    return any(row[3] == "0A" and row[9] in sockets for row in rows)


if sys.platform != "linux":
    pytest.skip("looks into /proc", allow_module_level=True)
