"""Why a call to a service failed, in words; looks closer where gRPC only says that it did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.rpc.channel import Target, Trust
from usbshare.rpc.status import RpcError, error_from_rpc, is_of_another_service


async def explain(
    error: RpcError,
    target: Target,
    trust: Trust | None,
    service: str,
    look_closer: Callable[[], Awaitable[ConnectionRefusedByPeerError | None]],
) -> UsbshareError:
    """Return the domain error of a failed call to `service`, a full gRPC service name.

    `look_closer` returns why the service cannot be reached, None if it can.
    """
    if is_of_another_service(error):
        # A stop imports this module, and must not wait for what health checks need.
        from usbshare.rpc.other_service import name_other_service  # noqa: PLC0415

        return await name_other_service(target, trust, service)
    explained = error_from_rpc(error)
    if not isinstance(explained, ConnectionRefusedByPeerError):
        return explained
    return await look_closer() or ConnectionRefusedByPeerError(f"{target}: {explained}")
