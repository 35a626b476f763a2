"""Devices as messages."""

from __future__ import annotations

from usbshare.usb.v1 import usb_pb2 as pb
from usbshare.usb_svc.devices.judgement import State
from usbshare.usb_svc.export.lending import OfferedDevice
from usbshare.usbip.messages import Speed

_SPEEDS = {
    Speed.LOW: pb.SPEED_LOW,
    Speed.FULL: pb.SPEED_FULL,
    Speed.HIGH: pb.SPEED_HIGH,
    Speed.SUPER: pb.SPEED_SUPER,
    Speed.SUPER_PLUS: pb.SPEED_SUPER_PLUS,
}
_STATES = {
    State.AVAILABLE: pb.DEVICE_STATE_AVAILABLE,
    State.ATTACHED: pb.DEVICE_STATE_ATTACHED,
    State.IN_USE: pb.DEVICE_STATE_IN_USE,
    State.REFUSED: pb.DEVICE_STATE_REFUSED,
}


def device_message(offered: OfferedDevice) -> pb.Device:
    """Return a device as a message."""
    device = offered.device
    return pb.Device(
        id=offered.id,
        vendor_id=device.vid,
        product_id=device.pid,
        serial_number=device.serial,
        manufacturer=device.manufacturer,
        product=device.product,
        socket=device.busid,
        speed=_SPEEDS.get(device.speed, pb.SPEED_UNSPECIFIED),
        interfaces=[
            pb.InterfaceClass(
                class_code=each.class_, subclass_code=each.subclass, protocol_code=each.protocol
            )
            for each in device.interfaces
        ],
        state=_STATES[offered.state],
        reason=offered.reason,
        holder=offered.holder,
    )
