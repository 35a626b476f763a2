"""Which service of usbshare answers at an address where another was wanted."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from usbshare.common.channel import Target
from usbshare.common.errors import ConnectionRefusedByPeerError

ASK_TIMEOUT_S = 2.0
# Each with its port unless its operator chose another.
_SERVICES = {
    "usbshare.serial.v1.SerialService": ("serial-svc", 50051),
    "usbshare.camera.v1.CameraService": ("camera-svc", 50052),
    "usbshare.discovery.v1.DiscoveryService": ("discovery-svc", 50053),
}


async def name_other_service(
    channel: grpc.aio.Channel, target: Target, wanted: str
) -> ConnectionRefusedByPeerError:
    """Return an error that says which service is there and where the wanted one is."""
    name, port = _SERVICES[wanted]
    found = await _service_at(channel)
    if found == name:
        text = f"{name} at {target} is older than this program and has no such call: update it"
        return ConnectionRefusedByPeerError(text)
    there = f"{found} listens" if found else f"another program than {name} listens"
    ours = Target(target.host, port)
    where = f"{name} is at {ours} unless its operator chose another port"
    if target.port == port:
        where = f"ask its operator for the port of {name}"
    return ConnectionRefusedByPeerError(f"{there} at {target}: {where}")


async def _service_at(channel: grpc.aio.Channel) -> str:
    """Return the name of the service that says it is there, empty if none does."""
    health: Any = health_pb2_grpc.HealthStub(channel)  # typed for the sync API
    for service, (name, _) in _SERVICES.items():
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            await health.Check(request, timeout=ASK_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            continue
        return name
    return ""
