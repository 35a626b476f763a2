"""What a program does with a machine at the other end of a socket."""

from __future__ import annotations

import socket


def ask(connected: socket.socket, line: bytes) -> bytes:
    """Send a line and return what comes up to ok."""
    connected.sendall(line)
    answer = bytearray()
    while not answer.endswith(b"ok\r\n"):
        got = connected.recv(4096)
        assert got, f"hung up after {bytes(answer)!r}"
        answer += got
    return bytes(answer)
