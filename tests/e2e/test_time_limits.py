"""A command with a time limit ends with it, whatever a silent host makes its threads wait for."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.processes import running, serial_service

pytestmark = pytest.mark.quiet

TIMEOUT_S = 8.0
NO_ANSWER = "(did|does) not answer"
# Python's end, on a machine that does other things too.
SLACK_S = 2.5
QUIET = "[discovery]\nmdns = false\nbeacon = false\n[bridge]\nremember = false\n"


@pytest.fixture
def silent() -> Iterator[int]:
    """Return the port of a host that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with a client's certificate."""
    with serial_service(tmp_path):
        pass
    return tmp_path


@pytest.mark.parametrize("is_configured", [True, False])
def test_a_list_lasts_no_longer_than_its_limit(
    home: Path, silent: int, is_configured: bool
) -> None:
    config = home / "quiet.toml"
    host = f'[hosts.mute]\naddress = "127.0.0.1"\nserial = {silent}\n'
    config.write_text(QUIET + (host if is_configured else ""))
    target = [] if is_configured else ["--target", f"127.0.0.1:{silent}"]
    command = ["bridge", "--config", str(config), "list", "--timeout", f"{TIMEOUT_S:g}", *target]
    with running(command, home) as process:
        process.wait_for(f"{silent}.*{NO_ANSWER}")
        limit_at = time.monotonic()
        assert process.wait() == 1
        took_s = time.monotonic() - limit_at
    assert took_s < SLACK_S, process.output
