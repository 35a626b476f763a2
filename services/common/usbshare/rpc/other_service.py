"""Which service of usbshare answers at an address where another was wanted, and where that is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from usbshare.base import usual_ports
from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.rpc.channel import QUIET_KEEPALIVE, Target, Trust, open_channel

ASK_TIMEOUT_S = 2.0
SERIAL_SERVICE = "usbshare.serial.v1.SerialService"
CAMERA_SERVICE = "usbshare.camera.v1.CameraService"
DISCOVERY_SERVICE = "usbshare.discovery.v1.DiscoveryService"
JOB_SERVICE = "usbshare.job.v1.JobService"
USB_SERVICE = "usbshare.usb.v1.UsbService"
# Each with its port unless its operator chose another.
_SERVICES = {
    SERIAL_SERVICE: ("serial-svc", usual_ports.SERIAL_PORT),
    CAMERA_SERVICE: ("camera-svc", usual_ports.CAMERA_PORT),
    DISCOVERY_SERVICE: ("discovery-svc", usual_ports.DISCOVERY_PORT),
    JOB_SERVICE: ("job-svc", usual_ports.JOB_PORT),
    USB_SERVICE: ("usb-svc", usual_ports.USB_PORT),
}


async def name_other_service(
    target: Target, trust: Trust | None, wanted: str
) -> ConnectionRefusedByPeerError:
    """Return an error that says which service is there and where the wanted one is."""
    name, port = _SERVICES[wanted]
    found = await _service_at(target, trust)
    if found == name:
        text = (
            f"{name} at {target} is older than this program and does not have this call: update it"
        )
        return ConnectionRefusedByPeerError(text)
    there = f"{found} listens" if found else f"a program other than {name} listens"
    where = await _where(replace(target, port=port), trust, wanted, was_there=target.port == port)
    return ConnectionRefusedByPeerError(f"{there} at {target}: {where}")


async def _where(usual: Target, trust: Trust | None, wanted: str, *, was_there: bool) -> str:
    """Say where on that host the wanted service answers, or how to find it."""
    name, _ = _SERVICES[wanted]
    if not was_there and await _is_there(usual, trust, wanted):
        return f"{name} is at {usual}"
    elsewhere = "" if was_there else f"{name} does not answer at {usual}; "
    return f"{elsewhere}`usbshare-bridge discover` shows the port of {name}"


async def _is_there(target: Target, trust: Trust | None, wanted: str) -> bool:
    try:
        async with open_channel(target, trust, keepalive=QUIET_KEEPALIVE) as channel:
            return await _has(channel, wanted)
    except ValueError:  # of a certificate that gRPC does not take
        return False


async def _service_at(target: Target, trust: Trust | None) -> str:
    """Return the name of the service that says it is there, empty if none does."""
    async with open_channel(target, trust, keepalive=QUIET_KEEPALIVE) as channel:
        for service, (name, _) in _SERVICES.items():
            if await _has(channel, service):
                return name
    return ""


async def _has(channel: grpc.aio.Channel, service: str) -> bool:
    health: Any = health_pb2_grpc.HealthStub(channel)  # typed for the sync API
    try:
        await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=ASK_TIMEOUT_S)
    except grpc.aio.AioRpcError:
        return False
    return True
