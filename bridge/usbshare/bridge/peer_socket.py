"""Whether the other end of a connection on this computer still has its socket.

A socket that was closed and one that was shut down for writing send the same FIN; only the kernel's
table tells them apart (proc_pid_net(5): a socket without a process has inode 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def is_closed(own_port: int, peer_port: int, tables: tuple[Path, ...] = TABLES) -> bool | None:
    """Return whether the peer has closed its socket; None where the system does not say."""
    if not tables[0].exists():
        return None
    return not any(
        (local, remote) == (peer_port, own_port) and inode
        for local, remote, inode in _connections(tables)
    )


def _connections(tables: tuple[Path, ...]) -> Iterator[tuple[int, int, int]]:
    """Yield local port, remote port and inode of each."""
    for table in tables:
        with suppress(FileNotFoundError):  # a kernel without IPv6
            for row in table.read_text().splitlines()[1:]:
                fields = row.split()
                yield _port(fields[1]), _port(fields[2]), int(fields[9])


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
