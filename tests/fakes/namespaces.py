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

_PATH = f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin"
IP = shutil.which("ip", path=_PATH) or ""
TC = shutil.which("tc", path=_PATH) or ""  # of the same package
COMMAND_TIMEOUT_S = 30.0


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
    """What joins the two; it fails as a test asks, and works again after `heal`."""

    def __init__(self, host: Namespace, client: Namespace) -> None:
        self.host, self.client = host, client
        self._undo = ExitStack()

    def link_down(self, end: Namespace | None = None) -> None:
        """Take one end's interface down (the client's), so that both lose their carrier."""
        _ip("-n", (end or self.client).name, "link", "set", (end or self.client).interface, "down")

    def link_up(self, end: Namespace | None = None) -> None:
        """Take it up again."""
        _ip("-n", (end or self.client).name, "link", "set", (end or self.client).interface, "up")

    def drop_packets(self, end: Namespace | None = None) -> None:
        """Drop silently what an end sends (both ends'), of whatever protocol; links stay up.

        Its hardware address stays known, as behind a firewall.
        """
        for each in [end] if end else [self.host, self.client]:
            self._keep_address_known(each)
            queue = ["-n", each.name, "qdisc"]
            of_it = ["dev", each.interface, "root"]
            # A queue for 0 packets (tc-pfifo(8)) needs no module and no packet filter.
            _run([TC, *queue, "add", *of_it, "pfifo", "limit", "0"])
            self._undo.callback(_run, [TC, *queue, "del", *of_it])

    def _keep_address_known(self, end: Namespace) -> None:
        other = self.host if end is self.client else self.client
        of_it = ["-n", other.name, "neigh", "replace", end.address, "dev", other.interface]
        entry = [*of_it, "lladdr", end.hardware_address, "nud"]
        _ip(*entry, "permanent")
        self._undo.callback(_ip, *entry, "reachable")

    def heal(self) -> None:
        """Undo `drop_packets`."""
        self._undo.close()


@contextmanager
def joined_namespaces() -> Iterator[Wire]:
    """Make two computers and the wire; the test is skipped, with the reason, where that fails."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if not (IP and TC):
        pytest.skip("network namespaces need `ip` and `tc` (Debian package iproute2)")
    tag = uuid.uuid4().hex[:6]
    # Of RFC 5737, so that no real network is hidden from a process there.
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


_ip = ip_command


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, timeout=COMMAND_TIMEOUT_S)
    if done.returncode:
        raise NamespaceError(f"{' '.join(command)}: {done.stderr.decode().strip()}")


def _succeeds(command: Sequence[str]) -> bool:
    done = subprocess.run(command, check=False, capture_output=True, timeout=COMMAND_TIMEOUT_S)
    return done.returncode == 0
