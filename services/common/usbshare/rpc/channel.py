"""The client's way to a service: targets, and channels that notice a dead peer within seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import grpc

from usbshare.base.addresses import join_host_port, split_host_port
from usbshare.base.errors import InvalidArgumentError
from usbshare.base.usual_ports import SERIAL_PORT

DEFAULT_PORT = SERIAL_PORT
_EXAMPLE = f"laser:{DEFAULT_PORT}"

# How long nothing may come back before a connection counts as dead. This bounds silence, not
# slowness: data that the peer does not acknowledge (TCP_USER_TIMEOUT, which counts for the SYN
# too), and a ping that is not answered, though it may queue behind all that a slow link carries.
# A control session has its own heartbeats, which are much faster.
UNACKNOWLEDGED_MS = 6000
UNANSWERED_MS = 10_000
# Fewer of these are not enough: without the ping timeout a frozen peer is never noticed.
KEEPALIVE: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", UNACKNOWLEDGED_MS),
    ("grpc.http2.ping_timeout_ms", UNANSWERED_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)
# A stop's own, and the service's side of all, since each may be a stop's. Linux counts
# UNACKNOWLEDGED_MS from the first retransmission, and where the next one would come later it sends
# none: on a full link, where that takes 6 s, it ends what one more would have got through. Without
# a keepalive time gRPC sets no TCP_USER_TIMEOUT and sends no ping: what tries bounds the time.
STOP_KEEPALIVE: tuple[tuple[str, int], ...] = (("grpc.keepalive_time_ms", 2**31 - 1),)
_LONGEST_STOP_MS = 60_000
SERVICE_KEEPALIVE: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", _LONGEST_STOP_MS),
    ("grpc.http2.ping_timeout_ms", _LONGEST_STOP_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)
# For connections that may be idle for days and on which no person's safety depends: a dead peer is
# noticed within 20 s, and a connection without a call costs nothing at all.
QUIET_KEEPALIVE: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", UNACKNOWLEDGED_MS),
    ("grpc.http2.ping_timeout_ms", UNANSWERED_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.bdp_probe", 0),  # a ping more for each answer
)
# For pictures, which may fill a slow link for seconds: a ping behind them is not lost yet. A dead
# viewer costs its window of frames, and is noticed within 22 s.
VIDEO_KEEPALIVE: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", UNACKNOWLEDGED_MS),
    ("grpc.http2.ping_timeout_ms", 2 * UNANSWERED_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 0),
)
# One attempt to connect: TCP, TLS and HTTP/2 take three to five round trips one after another.
ATTEMPT_S = 20.0
_CLIENT: tuple[tuple[str, int], ...] = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ("grpc.enable_retries", 0),  # a command must never be sent twice
    ("grpc.enable_http_proxy", 0),  # the host is near; http_proxy is for the web
)
MOST_MESSAGE_BYTES = 1024 * 1024


class Trust(Protocol):
    """What a client shows and trusts, as PEM, and the file that it is from."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def key(self) -> bytes:
        """The private key."""
        ...

    @property
    def chain(self) -> bytes:
        """The certificate that is shown."""
        ...

    @property
    def authorities(self) -> bytes:
        """The certificates of the authorities that are trusted."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where a service listens.

    `tls_name`: what its certificate must be for, where that is not `host`, as `laser.local` of an
    address that discovery found. `name`: what people call it, where that was no address.
    """

    host: str
    port: int
    tls_name: str = ""
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)

    @property
    def certified_name(self) -> str:
        """The name or address that its certificate must be for; no certificate has a scope."""
        return self.tls_name or self.host.partition("%")[0]


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
    target: Target,
    bundle: Trust | None,
    own_connection: bool = True,
    keepalive: tuple[tuple[str, int], ...] = KEEPALIVE,
    most_message_bytes: int = MOST_MESSAGE_BYTES,
    attempt_s: float = ATTEMPT_S,
) -> grpc.aio.Channel:
    """Return a channel, in plaintext without a bundle; with a TCP connection shared by none.

    `attempt_s` bounds one attempt to connect, from the first packet to HTTP/2's settings.
    """
    options: tuple[tuple[str, int | str], ...] = (
        *keepalive,
        *_CLIENT,
        # In spite of its name it does not slow attempts down, it bounds each of them.
        ("grpc.min_reconnect_backoff_ms", round(attempt_s * 1000)),
        ("grpc.max_receive_message_length", most_message_bytes),
        ("grpc.use_local_subchannel_pool", int(own_connection)),
    )
    # The scheme is spelled out, else a host called `unix` or `ipv4` would be taken for one.
    uri = f"dns:///{quote(str(target), safe='[]:')}"
    if bundle is None:
        return grpc.aio.insecure_channel(uri, options)
    if target.certified_name != target.host:
        options = (*options, ("grpc.ssl_target_name_override", target.certified_name))
    return grpc.aio.secure_channel(uri, channel_credentials(bundle), options)


def channel_credentials(bundle: Trust) -> grpc.ChannelCredentials:
    """Return credentials that trust the bundle's authorities only and show its certificate."""
    return grpc.ssl_channel_credentials(bundle.authorities, bundle.key, bundle.chain)


async def until_connected(channel: grpc.aio.Channel) -> bool:
    """Connect and return whether that worked; after one attempt, which takes what it takes."""
    while True:
        state = channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            return True
        if state in {
            grpc.ChannelConnectivity.TRANSIENT_FAILURE,
            grpc.ChannelConnectivity.SHUTDOWN,
        }:
            return False
        await channel.wait_for_state_change(state)
