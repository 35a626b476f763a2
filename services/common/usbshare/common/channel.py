"""The client's way to a service: targets, and channels that notice a dead peer within seconds."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from usbshare.common.addresses import join_host_port, split_host_port
from usbshare.common.errors import InvalidArgumentError
from usbshare.common.tls import ClientBundle, channel_credentials

DEFAULT_PORT = 50051
_EXAMPLE = f"laser:{DEFAULT_PORT}"

# Fewer of these are not enough: without the ping timeout a frozen peer is never noticed.
KEEPALIVE: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.http2.ping_timeout_ms", 1000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)
_CLIENT: tuple[tuple[str, int], ...] = (
    *KEEPALIVE,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # also bounds one attempt to connect
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ("grpc.enable_retries", 0),  # a command must never be sent twice
    ("grpc.enable_http_proxy", 0),  # the host is near; http_proxy is for the web
    ("grpc.max_receive_message_length", 1024 * 1024),
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a service listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)


def parse_target(text: str, default_port: int = DEFAULT_PORT) -> Target:
    """Read `host`, `host:port` or `[v6]:port`; InvalidArgumentError says what is wrong."""
    text = text.strip()
    if not text:
        raise InvalidArgumentError(f"the target is empty: give host:port, as in {_EXAMPLE}")
    if "/" in text:
        raise InvalidArgumentError(f"target {text!r} is a URL: give host:port, as in {_EXAMPLE}")
    host, port = split_host_port(text, default_port)
    if port == 0:
        raise InvalidArgumentError(f"{text!r}: the port '0' is not a number from 1 to 65535")
    return Target(host, port)


def open_channel(
    target: Target, bundle: ClientBundle | None, own_connection: bool = True
) -> grpc.aio.Channel:
    """Return a channel, in plaintext without a bundle; with a TCP connection shared by none."""
    options = (*_CLIENT, ("grpc.use_local_subchannel_pool", int(own_connection)))
    # The scheme is spelled out, else a host called `unix` or `ipv4` would be taken for one.
    uri = f"dns:///{target}"
    if bundle is None:
        return grpc.aio.insecure_channel(uri, options)
    return grpc.aio.secure_channel(uri, channel_credentials(bundle), options)
