"""Two network namespaces joined by a wire, made by the test and gone with it.

Real interfaces and real TCP, and nothing of this computer's own network. Needs root and
`ip` (Debian package iproute2).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

IP = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin") or ""
COMMAND_TIMEOUT_S = 30.0
_NOBODY = "02:00:00:00:00:ff"


class NamespaceError(Exception):
    """The kernel or this user's rights do not allow it; the text says what."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One computer: its name, its end of the wire, and its address there."""

    name: str
    interface: str
    address: str
    hardware_address: str

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line that runs a command there."""
        return [IP, "netns", "exec", self.name, *arguments]


class Wire:
    """What joins the two; it fails as told, and works again after `heal`."""

    def __init__(self, host: Namespace, client: Namespace) -> None:
        self.host, self.client = host, client
        self._undo = ExitStack()

    def link_down(self, end: Namespace | None = None) -> None:
        """Take one end's interface down (the client's), so that both lose their carrier."""
        _ip("-n", (end or self.client).name, "link", "set", (end or self.client).interface, "down")

    def link_up(self, end: Namespace | None = None) -> None:
        """Take it up again."""
        _ip("-n", (end or self.client).name, "link", "set", (end or self.client).interface, "up")

    def drop_packets(self, end: Namespace | None = None) -> str:
        """Drop silently what an end sends (both ends'), links stay up; returns by which means."""
        ends = [end] if end else [self.host, self.client]
        return [self._drop(each) for each in ends][-1]

    def heal(self) -> None:
        """Undo `drop_packets`."""
        self._undo.close()

    def _drop(self, end: Namespace) -> str:
        for means, begin, undo in _filters(end):
            if shutil.which(begin[0]) and _succeeds(end.command(begin)):
                self._undo.callback(_run, end.command(undo))
                return means
        return self._drop_by_wrong_neighbour(end)

    def _drop_by_wrong_neighbour(self, end: Namespace) -> str:
        """Send to a hardware address that nobody has: no packet filter is needed for that."""
        other = self.host if end is self.client else self.client
        entry = ["-n", end.name, "neigh", "replace", other.address, "dev", end.interface, "lladdr"]
        _ip(*entry, _NOBODY, "nud", "permanent")
        self._undo.callback(_ip, *entry, other.hardware_address, "nud", "reachable")
        return "a wrong hardware address"


@contextmanager
def joined_namespaces() -> Iterator[Wire]:
    """Make two computers and the wire; the test is skipped, with the reason, where that fails."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if not IP:
        pytest.skip("network namespaces need `ip` (Debian package iproute2)")
    tag = uuid.uuid4().hex[:6]
    # Of RFC 5737, so that nobody's real network is hidden from a process there.
    host = Namespace(f"usbs-h-{tag}", "wire", "192.0.2.1", "02:00:00:00:00:01")
    client = Namespace(f"usbs-c-{tag}", "wire", "192.0.2.2", "02:00:00:00:00:02")
    with ExitStack() as exits:
        try:
            _make(exits, host, client)
        except NamespaceError as error:
            pytest.skip(f"network namespaces cannot be made here: {error}")
        wire = Wire(host, client)
        exits.callback(wire.heal)
        yield wire


def run(namespace: Namespace, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a process there; signals reach it itself."""
    return subprocess.Popen(namespace.command(arguments), stdin=subprocess.DEVNULL)


def ip_command(*arguments: str) -> None:
    """Run `ip` with these arguments; NamespaceError where that fails."""
    _run([IP, *arguments])


def _make(exits: ExitStack, host: Namespace, client: Namespace) -> None:
    for each in (host, client):
        _ip("netns", "add", each.name)
        exits.callback(_succeeds, [IP, "netns", "del", each.name])
    ends = [
        [each.interface, "netns", each.name, "address", each.hardware_address]
        for each in (host, client)
    ]
    # `ip link add NAME address X netns N type veth peer name NAME address Y netns M`
    _ip("link", "add", *ends[0], "type", "veth", "peer", "name", *ends[1])
    for each in (host, client):
        of_it = ["-n", each.name]
        _ip(*of_it, "address", "add", f"{each.address}/30", "dev", each.interface)
        for name in ("lo", each.interface):
            _ip(*of_it, "link", "set", name, "up")


def _filters(end: Namespace) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield the packet filters there may be: its name, what begins it, what undoes it."""
    rule = ["OUTPUT", "-o", end.interface, "-j", "DROP"]
    yield "iptables", ["iptables", "-A", *rule], ["iptables", "-D", *rule]
    chain = "table inet fault { chain sent { type filter hook output priority 0; policy drop; }; }"
    yield "nft", ["nft", chain], ["nft", "delete", "table", "inet", "fault"]
    netem = ["dev", end.interface, "root", "netem", "loss", "100%"]
    yield "tc netem", ["tc", "qdisc", "add", *netem], ["tc", "qdisc", "del", *netem[:3]]


_ip = ip_command


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, timeout=COMMAND_TIMEOUT_S)
    if done.returncode:
        raise NamespaceError(f"{' '.join(command)}: {done.stderr.decode().strip()}")


def _succeeds(command: Sequence[str]) -> bool:
    done = subprocess.run(command, check=False, capture_output=True, timeout=COMMAND_TIMEOUT_S)
    return done.returncode == 0
