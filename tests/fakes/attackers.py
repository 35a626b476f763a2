"""Programs that do not shake hands as they should; each returns what it heard."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from usbshare.rpc.channel import Target

DEADLINE_S = 30.0
# RFC 9113, 3.4: a peer that answers this with its own frame would serve RPCs.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
SETTINGS_HEAD = b"\4\0\0\0\0\0"  # type, flags and stream of a server's first frame
# The start of a ClientHello of TLS 1.2 that is 236 bytes long.
HALF_A_HELLO = bytes.fromhex("16030100f0010000ec0303") + b"a" * 32


@dataclass(frozen=True, slots=True)
class Victim:
    """Where the service is, and what the attacker has."""

    target: Target
    certificate: Path
    source: str = "127.0.0.1"


Attack = Callable[[Victim], bytes]


def s_client(*arguments: str, with_certificate: bool = False, typed: bytes = PREFACE) -> Attack:
    """Return OpenSSL's client with these arguments, which then says `typed` and waits."""

    def attack(victim: Victim) -> bytes:
        command = ["openssl", "s_client", "-connect", str(victim.target), "-bind", victim.source]
        if with_certificate:
            path = str(victim.certificate)
            command += ["-cert", path, "-key", path]
        return _talk([*command, *arguments], typed)

    return attack


def says(data: bytes, *, hangs_up: bool = False, resets: bool = False) -> Attack:
    """Return a program that sends the data and listens until it is hung up on, unless it does."""

    def attack(victim: Victim) -> bytes:
        with _connected(victim) as connection:
            with suppress(ConnectionError):
                connection.sendall(data)
            if resets:
                _until_read(connection)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return b"" if hangs_up or resets else _hear(connection)

    return attack


def distrusts(authorities: bytes, certificate: Path) -> Attack:
    """Return a client of another site: refuses the host's certificate and lets its alert arrive."""

    def attack(victim: Victim) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authorities.decode())
        context.load_cert_chain(certificate)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=victim.target.host)
        with _connected(victim) as connection:
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(65536))
                except ssl.SSLCertVerificationError:
                    connection.sendall(outgoing.read())
                    return _hear(connection)

    return attack


def drips(data: bytes, pause_s: float) -> Attack:
    """Return a program that sends a byte at a time, until it is hung up on."""

    def attack(victim: Victim) -> bytes:
        with _connected(victim) as connection:
            connection.settimeout(pause_s)
            for byte in data:
                try:
                    connection.sendall(bytes([byte]))
                    if not connection.recv(4096):
                        break
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
        return b""

    return attack


@contextmanager
def half_open(victim: Victim, count: int, batch: int = 250) -> Iterator[list[socket.socket]]:
    """Keep connections that say nothing; a batch at a time, as the other side takes them."""
    connections: list[socket.socket] = []
    address = (victim.target.host, victim.target.port)
    try:
        while len(connections) < count:
            fresh = [
                socket.create_connection(address, DEADLINE_S, (_source(len(connections) + i), 0))
                for i in range(min(batch, count - len(connections)))
            ]
            connections += fresh
        yield connections
    finally:
        for connection in connections:
            connection.close()


def is_hung_up(connection: socket.socket) -> bool:
    """Return whether the other side has closed a connection on which it never says anything."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def _source(index: int) -> str:
    return f"127.0.{1 + index // 1000 % 200}.{1 + index % 200}"


@contextmanager
def _connected(victim: Victim) -> Iterator[socket.socket]:
    address = (victim.target.host, victim.target.port)
    with socket.create_connection(address, DEADLINE_S, (victim.source, 0)) as connection:
        yield connection


def _until_read(connection: socket.socket) -> None:
    """Return once the service has read all that was sent: a reset would overtake it, unaccepted.

    The kernel's tables have a socket's unread bytes (proc_pid_net(5)).
    """
    ends = [f":{end[1]:04X}" for end in (connection.getpeername(), connection.getsockname())]
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        tables = (Path(f"/proc/net/{name}").read_text().splitlines() for name in ("tcp", "tcp6"))
        rows = [row.split() for table in tables for row in table[1:]]
        if any(
            [row[1][-5:], row[2][-5:]] == ends and int(row[4].partition(":")[2], 16) == 0
            for row in rows
        ):
            return
        time.sleep(0.001)
    raise TimeoutError("the service does not read")


def _hear(connection: socket.socket) -> bytes:
    heard = b""
    with suppress(ConnectionError):
        while more := connection.recv(4096):
            heard += more
    return heard


def _talk(command: list[str], typed: bytes) -> bytes:
    """Run it with its input open, since its end would make it leave; until it is hung up on."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with suppress(BrokenPipeError):
            process.stdin.write(typed)
            process.stdin.flush()
        deadline = time.monotonic() + DEADLINE_S
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        return process.stdout.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()
