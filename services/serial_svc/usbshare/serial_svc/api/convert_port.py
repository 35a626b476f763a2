"""Ports of serial.proto: what the service says of each, and of its line."""

from __future__ import annotations

from typing import cast

from usbshare.line.settings import LineSettings, ModemLines
from usbshare.rpc.wire_time import timestamp
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.api import convert
from usbshare.serial_svc.api.convert_holds import hold_message, latch_message
from usbshare.serial_svc.line.firmware import StopBytes
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import LinkLossPolicy
from usbshare.serial_svc.ports.changes import Change
from usbshare.serial_svc.sessions.client import Holder
from usbshare.serial_svc.sessions.port_description import PortDescription

_PARITY_CODES = {value: key for key, value in convert.PARITIES.items()}
_STOP_BIT_CODES = {value: key for key, value in convert.STOP_BITS.items()}
_FLOW_CONTROL_CODES = {value: key for key, value in convert.FLOW_CONTROLS.items()}
_STATES = {
    PortState.AVAILABLE: pb.PORT_STATE_AVAILABLE,
    PortState.OPEN: pb.PORT_STATE_OPEN,
    PortState.ABSENT: pb.PORT_STATE_ABSENT,
    PortState.FAILED: pb.PORT_STATE_FAILED,
}
_PROFILES = {
    "raw": pb.PROFILE_RAW,
    "grbl": pb.PROFILE_GRBL,
    "marlin": pb.PROFILE_MARLIN,
    "grblhal": pb.PROFILE_GRBLHAL,
    "grbl09": pb.PROFILE_GRBL09,
    "smoothie": pb.PROFILE_SMOOTHIE,
    "reprap": pb.PROFILE_REPRAP,
    "gcode": pb.PROFILE_GCODE,
    "auto": pb.PROFILE_AUTO,
}
_STOP_BYTES = {
    StopBytes.OWN: pb.STOP_BYTES_OWN,
    StopBytes.FALLBACK: pb.STOP_BYTES_FALLBACK,
    StopBytes.NONE: pb.STOP_BYTES_NONE,
}
_POLICIES = {
    LinkLossPolicy.DOOR: pb.LINK_LOSS_POLICY_DOOR,
    LinkLossPolicy.HOLD: pb.LINK_LOSS_POLICY_HOLD,
    LinkLossPolicy.STOP: pb.LINK_LOSS_POLICY_STOP,
    LinkLossPolicy.CONTINUE: pb.LINK_LOSS_POLICY_CONTINUE,
    LinkLossPolicy.NONE: pb.LINK_LOSS_POLICY_NONE,
}
_CHANGES = {
    Change.EXISTING: pb.PORT_CHANGE_EXISTING,
    Change.ADDED: pb.PORT_CHANGE_ADDED,
    Change.UPDATED: pb.PORT_CHANGE_UPDATED,
    Change.REMOVED: pb.PORT_CHANGE_REMOVED,
}


def settings_message(settings: LineSettings) -> pb.SerialSettings:
    """Return all settings."""
    return pb.SerialSettings(
        baud=settings.baud,
        data_bits=settings.data_bits,
        parity=_PARITY_CODES[settings.parity],
        stop_bits=_STOP_BIT_CODES[float(settings.stop_bits)],
        flow_control=_FLOW_CONTROL_CODES[settings.flow_control],
    )


def lines_message(lines: ModemLines) -> pb.LineState:
    """Return the lines; what cannot be read is absent."""
    names = ("cts", "dsr", "ri", "cd", "dtr", "rts")
    known = {name: getattr(lines, name) for name in names if getattr(lines, name) is not None}
    if (counts := lines.counts) is None:
        return pb.LineState(**known)
    return pb.LineState(
        **known,
        breaks=counts.breaks,
        framing_errors=counts.framing_errors,
        parity_errors=counts.parity_errors,
        overruns=counts.overruns,
    )


def port_message(port: PortDescription) -> pb.Port:
    """Return a port; the message is shared by all recipients, so do not change it."""
    if not port.made:
        port.made.append(_port_message(port))
    return cast("pb.Port", port.made[0])


def _port_message(port: PortDescription) -> pb.Port:
    message = pb.Port(
        id=port.id,
        description=port.description,
        source=port.source,
        device=port.device,
        state=_STATES[port.state],
        state_reason=port.state_reason,
        configured_profile=_PROFILES[port.configured_profile],
        profile=_PROFILES[port.profile],
        settings=settings_message(port.settings),
        observers=port.observers,
        epoch=port.epoch,
        latched=port.latched,
        held=port.held,
        link_loss=_POLICIES[port.link_loss],
        low_latency=port.low_latency,
        stop_bytes=_STOP_BYTES[port.stop_bytes],
        sees_gcode=port.sees_gcode,
        machine_state=port.machine_state,
        hold_number=port.hold_number,
    )
    if port.holder is not None:
        message.holder.CopyFrom(holder_message(port.holder))
    message.usb_socket = port.usb_socket
    if port.usb is not None:
        usb = port.usb
        message.usb.vendor_id, message.usb.product_id = usb.vendor_id, usb.product_id
        message.usb.serial_number = usb.serial_number
        message.usb.manufacturer, message.usb.product = usb.manufacturer, usb.product
    if port.latch is not None:
        message.latch.CopyFrom(latch_message(port.latch))
    if port.hold is not None:
        message.hold.CopyFrom(hold_message(port.hold))
    return message


def holder_message(holder: Holder) -> pb.Holder:
    """Return who has control."""
    return pb.Holder(
        session_id=holder.session_id,
        identity=holder.identity,
        client_name=holder.client_name,
        peer=holder.peer,
        open_time=timestamp(holder.open_time),
    )


def watch_message(change: Change, port: PortDescription) -> pb.WatchPortsResponse:
    """Return what happened to a port."""
    return pb.WatchPortsResponse(change=_CHANGES[change], port=port_message(port))
