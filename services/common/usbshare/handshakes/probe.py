"""One look at a port without gRPC: does it resolve, answer, speak TLS, accept us. Blocks."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum, auto

from cryptography import x509

from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle, ssl_context

# RFC 9113, 3.4: the client's preface and an empty SETTINGS frame; a server answers with its own.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_FRAME_HEADER_BYTES = 9
_SETTINGS = 4


class Finding(Enum):
    """What a probe met first."""

    ANSWERS = auto()  # HTTP/2, as it should be; `detail` is the version of TLS
    UNRESOLVED = auto()
    REFUSED = auto()
    UNREACHABLE = auto()  # `detail` is the system's reason
    NO_CONNECTION = auto()  # in time
    SILENT = auto()  # connected, but no byte in time
    PLAINTEXT_THERE = auto()
    TLS_THERE = auto()
    NOT_GRPC = auto()
    SERVER_UNTRUSTED = auto()  # `verify_code` is OpenSSL's
    CLIENT_UNTRUSTED = auto()  # `detail` is the alert, if one came


@dataclass(frozen=True, slots=True)
class Probe:
    """A finding, and what there is to know about it."""

    finding: Finding
    detail: str = ""
    verify_code: int = 0
    certificate: x509.Certificate | None = None


def probe(target: Target, bundle: ClientBundle | None, timeout_s: float) -> Probe:
    """Look at the target the way a channel would; ConfigError if the bundle's file went bad."""
    context = None if bundle is None else ssl_context(bundle)
    port = _Port(target, time.monotonic() + timeout_s)
    try:
        connection = port.connect()
    except OSError as error:
        return _not_connected(error)
    with closing(connection):
        try:
            if context is None:
                return _probe_plaintext(port, connection)
            return _probe_tls(port, connection, context)
        except TimeoutError:
            return Probe(Finding.SILENT)
        except OSError:  # reset in the middle
            return Probe(Finding.NOT_GRPC)


class _Port:
    """The target with the time that is left for it."""

    def __init__(self, target: Target, deadline: float) -> None:
        self.certified_name = target.certified_name
        self._address = (target.host, target.port)
        self._deadline = deadline

    def connect(self) -> socket.socket:
        left_s = self._deadline - time.monotonic()
        return socket.create_connection(self._address, timeout=max(0.05, left_s))

    def speaks_http2(self) -> bool:
        try:
            with self.connect() as connection:
                return _is_settings(_greet(connection))
        except OSError:
            return False

    def shown_certificate(self) -> x509.Certificate | None:
        """Return the certificate that the port shows to anybody; None if it speaks no TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        try:
            with self.connect() as raw, context.wrap_socket(raw) as connection:
                shown = connection.getpeercert(binary_form=True)
                return x509.load_der_x509_certificate(shown) if shown else None
        except (OSError, ValueError):
            return None


def _not_connected(error: OSError) -> Probe:
    if isinstance(error, socket.gaierror):
        return Probe(Finding.UNRESOLVED)
    if isinstance(error, ConnectionRefusedError):
        return Probe(Finding.REFUSED)
    if isinstance(error, TimeoutError):
        return Probe(Finding.NO_CONNECTION)
    return Probe(Finding.UNREACHABLE, (error.strerror or str(error)).lower())


def _probe_plaintext(port: _Port, connection: socket.socket) -> Probe:
    if _is_settings(_greet(connection)):
        return Probe(Finding.ANSWERS)
    speaks_tls = port.shown_certificate() is not None
    return Probe(Finding.TLS_THERE if speaks_tls else Finding.NOT_GRPC)


def _probe_tls(port: _Port, raw: socket.socket, context: ssl.SSLContext) -> Probe:
    try:
        with context.wrap_socket(raw, server_hostname=port.certified_name) as connection:
            return _probe_acceptance(connection)
    except ssl.SSLCertVerificationError as error:
        certificate = port.shown_certificate()
        code = error.verify_code
        return Probe(Finding.SERVER_UNTRUSTED, error.verify_message, code, certificate)
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            return Probe(Finding.CLIENT_UNTRUSTED, error.reason)
        speaks_http2 = port.speaks_http2()
        return Probe(Finding.PLAINTEXT_THERE if speaks_http2 else Finding.NOT_GRPC)


def _probe_acceptance(connection: ssl.SSLSocket) -> Probe:
    # With TLS 1.3 our side is done before the server has judged our certificate: its verdict
    # comes with the first read, as an alert or, from gRPC, as a bare end of the connection.
    if connection.selected_alpn_protocol() != "h2":
        return Probe(Finding.NOT_GRPC)
    answer = _greet(connection)
    if not answer:
        return Probe(Finding.CLIENT_UNTRUSTED)
    if not _is_settings(answer):
        return Probe(Finding.NOT_GRPC)
    return Probe(Finding.ANSWERS, connection.version() or "")


def _greet(connection: socket.socket) -> bytes:
    """Send a client's first bytes; return the first frame's header, nothing if hung up on."""
    answer = b""
    with suppress(ConnectionError, ssl.SSLEOFError):
        connection.sendall(_PREFACE)  # even if this fails, an alert may be there to be read
    try:
        while len(answer) < _FRAME_HEADER_BYTES:
            if not (more := connection.recv(_FRAME_HEADER_BYTES - len(answer))):
                break
            answer += more
    except (ConnectionError, ssl.SSLEOFError):
        return b""
    return answer


def _is_settings(answer: bytes) -> bool:
    return len(answer) == _FRAME_HEADER_BYTES and answer[3] == _SETTINGS and not any(answer[4:])
