"""Whether the other end of a connection on this computer still has its socket.

A socket that was closed and one that was shut down for writing send the same FIN; only the kernel's
table tells them apart (proc_pid_net(5): a socket without a process has inode 0).
"""

from __future__ import annotations

from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def is_closed(own_port: int, peer_port: int, tables: tuple[Path, ...] = TABLES) -> bool | None:
    """Return whether the peer has closed its socket; None where the system does not say."""
    rows = [row for table in tables for row in _rows(table)]
    if not rows:
        return None
    return not any(
        (_port(local), _port(remote)) == (peer_port, own_port) and inode != "0"
        for _, local, remote, *_, inode in (row.split()[:10] for row in rows)
    )


def _rows(table: Path) -> list[str]:
    try:
        return table.read_text().splitlines()[1:]
    except OSError:  # no IPv6, another system, or a program that may not look
        return []


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
