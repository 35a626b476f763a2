"""Two network namespaces joined by a wire whose host end sends at a fixed rate; needs root.

Real interfaces and real TCP, and nothing of this computer's own network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from bench.stage import BenchError

_PLACES = f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin"
_INTERFACE = "wire"
_ON_WIRE = ("dev", _INTERFACE)
# Of RFC 5737, so that nobody's real network is hidden from a process there.
HOST_ADDRESS, CLIENT_ADDRESS = "192.0.2.1", "192.0.2.2"


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits at the host's end, and what it has sent and thrown away."""

    waiting_bytes: int
    sent_bytes: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The names of the two ends."""

    host: str
    client: str

    def on_host(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs a command at the host."""
        return [_tool("ip"), "netns", "exec", self.host, *command]

    def on_client(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs a command at the client."""
        return [_tool("ip"), "netns", "exec", self.client, *command]


class ShapedWire(Namespaces):
    """The wire."""

    def shape(self, rate: str, burst: str, latency: str) -> None:
        """Let the host send no faster, out of one queue for all."""
        self._unshape()
        tbf = ["tbf", "rate", rate, "burst", burst, "latency", latency]
        self._tc("qdisc", "add", *_ON_WIRE, "root", "handle", "1:", *tbf)

    def shape_with_classes(self, rate: str, burst: str, limit_bytes: int, first: list[int]) -> None:
        """Let the host send no faster, and what these TCP ports say before all else."""
        self._unshape()
        self._tc("qdisc", "add", *_ON_WIRE, "root", "handle", "1:", "htb", "default", "20")
        most = ["htb", "rate", rate, "ceil", rate, "burst", burst, "cburst", burst]
        self._tc("class", "add", *_ON_WIRE, "parent", "1:", "classid", "1:1", *most)
        for minor, priority in (("10", "0"), ("20", "1")):
            least = ["htb", "rate", "2mbit", "ceil", rate, "burst", burst, "cburst", burst]
            child = ["parent", "1:1", "classid", f"1:{minor}", *least, "prio", priority]
            self._tc("class", "add", *_ON_WIRE, *child)
            fifo = ["handle", f"{minor}:", "bfifo", "limit", str(limit_bytes)]
            self._tc("qdisc", "add", *_ON_WIRE, "parent", f"1:{minor}", *fifo)
        for port in first:
            match = ["u32", "match", "ip", "sport", str(port), "0xffff", "flowid", "1:10"]
            self._tc("filter", "add", *_ON_WIRE, "parent", "1:", "protocol", "ip", *match)

    def queue(self) -> Queue:
        """Return what waits now, and the sums since the wire was shaped."""
        shown = json.loads(self._tc("-s", "-j", "qdisc", "show", *_ON_WIRE))
        root = next(each for each in shown if each.get("root"))
        return Queue(root["backlog"], root["bytes"], sum(each["drops"] for each in shown))

    def _unshape(self) -> None:
        with suppress(BenchError):  # of a wire that is not shaped
            self._tc("qdisc", "del", *_ON_WIRE, "root")

    def _tc(self, *arguments: str) -> str:
        return _run(self.on_host([_tool("tc"), *arguments]))


@contextmanager
def shaped_wire() -> Iterator[ShapedWire]:
    """Make the wire, not yet shaped; it is gone at the end."""
    if os.geteuid() != 0:
        raise BenchError("network namespaces need root")
    tag = uuid.uuid4().hex[:6]
    wire = ShapedWire(f"usbs-bh-{tag}", f"usbs-bc-{tag}")
    with ExitStack() as exits:
        for name in (wire.host, wire.client):
            ip("netns", "add", name)
            exits.callback(ip, "netns", "del", name)
        _join(wire)
        yield wire


def _join(wire: ShapedWire) -> None:
    ends = [[_INTERFACE, "netns", name] for name in (wire.host, wire.client)]
    ip("link", "add", *ends[0], "type", "veth", "peer", "name", *ends[1])
    for name, address in ((wire.host, HOST_ADDRESS), (wire.client, CLIENT_ADDRESS)):
        ip("-n", name, "address", "add", f"{address}/30", "dev", _INTERFACE)
        for interface in ("lo", _INTERFACE):
            ip("-n", name, "link", "set", interface, "up")


def ip(*arguments: str) -> None:
    """Run iproute2's `ip`; raises BenchError with what it said."""
    _run([_tool("ip"), *arguments])


def _tool(name: str) -> str:
    path = shutil.which(name, path=_PLACES)
    if path is None:
        raise BenchError(f"there is no `{name}` (Debian package iproute2)")
    return path


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
