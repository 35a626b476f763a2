"""The service's gRPC server: its options, its addresses, health and reflection."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Sequence
from ipaddress import IPv6Address

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from usbshare.base.addresses import join_host_port, parse_address, split_host_port
from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.rpc.channel import DEFAULT_PORT, SERVICE_KEEPALIVE
from usbshare.rpc.interceptors import StatusInterceptor

_log = logging.getLogger(__name__)
MAX_REQUEST_BYTES = 128 * 1024

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.http2.min_ping_interval_without_data_ms", 200),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.so_reuseport", 0),  # else a second server binds the same port and steals clients
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.server_handshake_timeout_ms", 20_000),  # as long as a client of ours tries
    ("grpc.max_concurrent_streams", 128),  # of one connection; the client waits with the next
)


def make_server(
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    keepalive: tuple[tuple[str, int], ...] = SERVICE_KEEPALIVE,
) -> grpc.aio.Server:
    """Return a server that turns errors into statuses, outside of the given interceptors."""
    all_interceptors = (StatusInterceptor(), *interceptors)
    return grpc.aio.server(interceptors=all_interceptors, options=(*keepalive, *_OPTIONS))


async def add_standard_services(
    server: grpc.aio.Server, service_names: Sequence[str]
) -> health.aio.HealthServicer:
    """Add health, with these services SERVING, and reflection; returns health for the stop."""
    servicer = health.aio.HealthServicer()
    for name in service_names:
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    names = (*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return servicer


def bind(
    server: grpc.aio.Server,
    address: str,
    credentials: grpc.ServerCredentials | None,
    default_port: int = DEFAULT_PORT,
) -> int:
    """Listen at `host:port`; plaintext, and only on loopback, without credentials.

    Return the port.
    """
    host, port = _listen_address(address, default_port)
    if host != (host := _without_ipv6(host)):
        _log.info("this computer has no IPv6: listening at %s instead of %s", host, address)
    if credentials is None and not is_loopback(host):
        raise ConfigError(
            f"refused to listen at {address} without TLS: use --listen 127.0.0.1:{port}, "
            "or leave out --insecure"
        )
    require_free(host, port)
    target = join_host_port(host, port)
    try:
        if credentials is None:
            return server.add_insecure_port(target)
        return server.add_secure_port(target, credentials)
    except RuntimeError as error:
        raise ConfigError(f"cannot listen at {address}: choose another with --listen") from error


def is_loopback(host: str) -> bool:
    """Return whether every address of the host stays on this computer."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    addresses = [parse_address(str(entry[4][0])) for entry in found]
    return all(address is not None and address.is_loopback for address in addresses)


def free_places(address: str, default_port: int = DEFAULT_PORT) -> list[str]:
    """Return the addresses, without names, of `host:port`; ConfigError if one is taken. Blocks."""
    host, port = _listen_address(address, default_port)
    require_free(host, port)
    host = _without_ipv6(host)
    if parse_address(host) is not None:
        return [join_host_port(host, port)]
    found = dict.fromkeys(place[0] for _, place in _bind_addresses(host, port))
    return [join_host_port(each, port) for each in found] or [join_host_port(host, port)]


def _without_ipv6(host: str) -> str:
    """Return where to listen on a kernel without IPv6: `::` then means every IPv4 address."""
    address = parse_address(host)
    is_every_ipv6 = isinstance(address, IPv6Address) and address.is_unspecified
    return "0.0.0.0" if is_every_ipv6 and not _has_ipv6() else host  # noqa: S104 - as `::` does


def _has_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _listen_address(text: str, default_port: int) -> tuple[str, int]:
    try:
        return split_host_port(text, default_port)
    except InvalidArgumentError as error:
        raise ConfigError(f"--listen {error}") from error


def require_free(host: str, port: int) -> None:
    """Raise ConfigError, which says why, if one cannot listen there now."""
    # gRPC gives no reason, and is content if one of several addresses could be bound.
    try:
        for family, address in _bind_addresses(_without_ipv6(host), port):
            dual = family == socket.AF_INET6 and address[0] == "::"
            socket.create_server(address, family=family, dualstack_ipv6=dual).close()
    except OSError as error:
        raise ConfigError(_why_not_bound(host, port, error)) from error


def _bind_addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    if port == 0:
        return []
    address = parse_address(host)
    if address is not None and address.is_unspecified and socket.has_dualstack_ipv6():
        return [(socket.AF_INET6, ("::", port))]  # gRPC takes both wildcards for both families
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(family, (str(entry[0]), port)) for family, _, _, _, entry in found]


def _why_not_bound(host: str, port: int, error: OSError) -> str:
    where = join_host_port(host, port)
    if error.errno == errno.EADDRINUSE:
        return (
            f"cannot listen at {where}: address already in use: "
            "stop the program there, or choose another address with --listen"
        )
    if isinstance(error, socket.gaierror):
        return f"cannot listen at {where}: {error.strerror}: give an address of this computer"
    reason = os.strerror(error.errno or 0).lower()
    return f"cannot listen at {where}: {reason}: choose another address with --listen"
