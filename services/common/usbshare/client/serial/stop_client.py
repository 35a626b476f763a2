"""The calls to a serial service that a stop needs, with nothing else to import."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import grpc

from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.client.serial.stop_attempts import Attempts
from usbshare.client.serial.stop_report import SeenHold, StopReport
from usbshare.client.serial.stop_wire import STOP, stop_report, stop_request
from usbshare.line.stop_actions import StopAction
from usbshare.rpc.channel import (
    ATTEMPT_S,
    KEEPALIVE,
    STOP_KEEPALIVE,
    Target,
    Trust,
    open_channel,
)
from usbshare.rpc.status import error_from_rpc, is_of_another_service

if TYPE_CHECKING:
    from usbshare.rpc.tls import ClientBundle

CALL_TIMEOUT_S = 15.0  # the first call of a connection makes it
LOOK_TIMEOUT_S = 5.0
# A stop is not given up while it may still arrive; a person is told sooner that it has not yet.
STOP_TIMEOUT_S = 60.0
LONGEST_REASON_BYTES = 200
OUR_SERVICE = "usbshare.serial.v1.SerialService"


class StopClient:
    """A connection of its own to one service, for stops."""

    def __init__(
        self,
        target: Target,
        bundle: Trust | None,
        attempt_s: float = ATTEMPT_S,
        keepalive: tuple[tuple[str, int], ...] = KEEPALIVE,
    ) -> None:
        self.target = target
        self._trust = bundle
        self._channel = open_channel(target, bundle, keepalive=keepalive, attempt_s=attempt_s)
        self._others: list[grpc.aio.Channel] = []

    async def stop(
        self,
        port_id: str,
        action: StopAction,
        reason: str = "",
        timeout_s: float = STOP_TIMEOUT_S,
        *,
        seen: SeenHold | None = None,
    ) -> StopReport:
        """Stop the machine, whoever holds the port; returns what that did and how long it took.

        `seen`: what a resume may undo, needed for one; what came after it stays.
        Where nothing comes back it is tried again beside, over another connection, unless it is a
        resume; only who is refused learns that at once.
        """
        request = stop_request(port_id, action, _printable(reason), seen)
        channels = self._channels()

        async def attempt(left_s: float) -> bytes:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
            call = next(channels).unary_unary(STOP)
            return await call(request, timeout=left_s)

        start = time.monotonic()
        may_repeat = action is not StopAction.RESUME
        try:
            reply = await Attempts(attempt, timeout_s, may_repeat=may_repeat).first_reply()
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        try:
            return stop_report(reply, time.monotonic() - start)
        except (ValueError, OverflowError) as error:
            raise UsbshareError(f"{self.target} sent an invalid answer: {error}") from error

    async def only_port(self, timeout_s: float) -> str:
        """Return the id of the service's port, empty where it has another number of them."""
        # After the stop there is time for protobuf.
        from usbshare.serial.v1 import serial_pb2 as pb  # noqa: PLC0415
        from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub  # noqa: PLC0415

        stub = SerialServiceStub(self._channel)
        try:
            reply = await stub.ListPorts(pb.ListPortsRequest(), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        return reply.ports[0].id if len(reply.ports) == 1 else ""

    async def explain(
        self, error: grpc.aio.AioRpcError, timeout_s: float = LOOK_TIMEOUT_S
    ) -> UsbshareError:
        """Return why an RPC failed; looks closer where gRPC only says that it did."""
        # What looks closer loads half of TLS, which a stop must not wait for.
        if is_of_another_service(error):
            from usbshare.rpc.other_service import name_other_service  # noqa: PLC0415

            return await name_other_service(self.target, self._trust, OUR_SERVICE)
        explained = error_from_rpc(error)
        if not isinstance(explained, ConnectionRefusedByPeerError):
            return explained
        why = await self.why_unreachable(timeout_s)
        return ConnectionRefusedByPeerError(why or f"{self.target}: {explained}")

    async def why_unreachable(self, timeout_s: float = LOOK_TIMEOUT_S) -> str | None:
        """Look why the service cannot be reached, over a connection of its own; None if it can."""
        from usbshare.handshakes.unreachable import why_unreachable  # noqa: PLC0415 - see `explain`

        return await why_unreachable(self.target, self._bundle(), timeout_s)

    async def close(self) -> None:
        """Close the connection."""
        for each in (self._channel, *self._others):
            await each.close()

    def _channels(self) -> Iterator[grpc.aio.Channel]:
        """Yield our connection, then others, which nothing ends for being slow."""
        yield self._channel
        while True:
            more = open_channel(
                self.target, self._trust, keepalive=STOP_KEEPALIVE, attempt_s=STOP_TIMEOUT_S
            )
            self._others.append(more)
            yield more

    def _bundle(self) -> ClientBundle | None:
        """Return the client's certificate read in full; a ConfigError says what is wrong."""
        from usbshare.rpc.tls import ClientBundle  # noqa: PLC0415 - see `explain`

        if self._trust is None or isinstance(self._trust, ClientBundle):
            return self._trust
        return ClientBundle.load(self._trust.path)


def _printable(reason: str) -> str:
    """Return a reason that every service takes: a stop must not fail for what it says."""
    text = "".join(character if character.isprintable() else " " for character in reason)
    return text.encode(errors="replace")[:LONGEST_REASON_BYTES].decode(errors="ignore")
