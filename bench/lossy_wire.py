"""Two network namespaces joined by a wire that delays and loses packets, as weak Wi-Fi does.

It needs root. The wire is `wirefilter` of vde2 between two tap interfaces: real interfaces and real
TCP, and nothing of this computer's own network.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import peers
from bench.shaped_wire import CLIENT_ADDRESS, HOST_ADDRESS, Namespaces, ip
from bench.stage import READY_TIMEOUT_S, BenchError, Stage


@contextmanager
def lossy_wire(stage: Stage, *, delay_ms: float, loss_percent: float) -> Iterator[Namespaces]:
    """Make the wire; each way delays and loses that much. It is gone at the end."""
    if not peers.have("vde_switch", package="vde2"):
        raise BenchError("there is no `vde_switch` (Debian package vde2)")
    tag = uuid.uuid4().hex[:6]
    names = Namespaces(f"usbs-bh-{tag}", f"usbs-bc-{tag}")
    switches = [stage.path(f"switch-{side}-{tag}") for side in ("host", "client")]
    taps = [f"{side}{tag}" for side in ("bh", "bc")]
    with ExitStack() as exits:
        for name in (names.host, names.client):
            ip("netns", "add", name)
            exits.callback(ip, "netns", "del", name)
        for switch, tap in zip(switches, taps, strict=True):
            stage.start([_tool("vde_switch"), "-s", switch, "-t", tap], asked=True)
            _wait_for(Path("/sys/class/net") / tap)
        filtered = [_tool("wirefilter"), "-v", ":".join(switches)]
        stage.start([*filtered, "-d", f"{delay_ms}", "-l", f"{loss_percent}"], asked=True)
        addresses = (HOST_ADDRESS, CLIENT_ADDRESS)
        for name, tap, address in zip((names.host, names.client), taps, addresses, strict=True):
            ip("link", "set", tap, "netns", name)
            ip("-n", name, "address", "add", f"{address}/30", "dev", tap)
            for interface in ("lo", tap):
                ip("-n", name, "link", "set", interface, "up")
        yield names


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise BenchError(f"there is no `{name}` (Debian package vde2)")
    return path


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise BenchError(f"{path} did not appear: is there /dev/net/tun?")
        time.sleep(0.02)
