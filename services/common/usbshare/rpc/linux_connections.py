"""The TCP connections that this process has accepted, as Linux counts their bytes."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

from usbshare.rpc.byte_rates import Connection

# struct tcp_info of linux/tcp.h: u64 tcpi_bytes_received, since Linux 4.1.
_RECEIVED_AT, _INFO_BYTES = 128, 136


def accepted_connections(port: int) -> list[Connection]:
    """Return the connections to a listening port of this process."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # no socket, or closed meanwhile
            connection = _connection(int(name), port)
            if connection is not None:
                found.append(connection)
    return found


def end_connection(connection: Connection) -> None:
    """Shut the connection down; gRPC, which owns its descriptor, sees its end and closes it."""
    # A copy, lest the number means another connection by now.
    with suppress(OSError), socket.socket(fileno=os.dup(connection.descriptor)) as own:
        if _peer(own) == (connection.host, connection.port):
            own.shutdown(socket.SHUT_RDWR)


def _connection(descriptor: int, port: int) -> Connection | None:
    borrowed = socket.socket(fileno=descriptor)
    try:
        if borrowed.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        if borrowed.type != socket.SOCK_STREAM or borrowed.getsockname()[1] != port:
            return None
        host, peer_port = _peer(borrowed)
        info = borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    finally:
        borrowed.detach()
    if len(info) < _INFO_BYTES:
        return None
    (received,) = struct.unpack_from("=Q", info, _RECEIVED_AT)
    return Connection(descriptor, host, peer_port, received)


def _peer(connection: socket.socket) -> tuple[str, int]:
    host, port = connection.getpeername()[:2]
    return host.removeprefix("::ffff:"), port  # IPv4, as a socket for both families writes it
