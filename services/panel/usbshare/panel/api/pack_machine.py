"""A machine as page.proto has it."""

from __future__ import annotations

from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.json_text import text
from usbshare.panel.machines.machine_view import (
    MOST_PULSE_PERCENT,
    MOST_PULSE_S,
    Abilities,
    ControlState,
    MachineKey,
    MachineView,
    NextStep,
)
from usbshare.panel.machines.permissions import Permission
from usbshare.rpc.wire_time import duration
from usbshare.serial.v1 import serial_pb2

_CONTROL = {
    ControlState.UNKNOWN: pb.CONTROL_STATE_UNSPECIFIED,
    ControlState.FREE: pb.CONTROL_STATE_FREE,
    ControlState.OURS: pb.CONTROL_STATE_OURS,
    ControlState.OTHER: pb.CONTROL_STATE_OTHER,
    ControlState.OPENING: pb.CONTROL_STATE_OPENING,
}
_NEXT = {
    NextStep.NONE: pb.NEXT_STEP_UNSPECIFIED,
    NextStep.RESUME: pb.NEXT_STEP_RESUME,
    NextStep.REARM: pb.NEXT_STEP_REARM,
    NextStep.HOME: pb.NEXT_STEP_HOME,
    NextStep.UNLOCK: pb.NEXT_STEP_UNLOCK,
    NextStep.RESET: pb.NEXT_STEP_RESET,
    NextStep.AT_MACHINE: pb.NEXT_STEP_AT_MACHINE,
}


def machine_key(key: MachineKey) -> pb.MachineKey:
    """Return the name of a machine."""
    return pb.MachineKey(host=key[0], port_id=key[1])


def machine_text(view: MachineView) -> str:
    """Return a Machine as JSON."""
    message = pb.Machine(
        key=machine_key(view.key),
        stop=permission_message(view.stop),
        control=permission_message(view.control),
        take=permission_message(view.take),
        control_state=_CONTROL[view.control_state],
        control_reason=view.control_reason,
        condition=view.condition,
        next_step=_NEXT[view.next_step],
        abilities=_abilities(view.abilities),
        firmware_message=view.firmware_message,
        activity=view.activity,
    )
    if isinstance(view.port.message, serial_pb2.Port):
        message.port.CopyFrom(view.port.message)
    seen = None if view.machine is None else view.machine.message
    if isinstance(seen, serial_pb2.WatchMachineResponse):
        _add_report(message, seen)
    return text(message)


def permission_message(permission: Permission) -> pb.Permission:
    """Return a Permission."""
    return pb.Permission(
        is_allowed=permission.is_allowed,
        needs_code=permission.needs_code,
        reason=permission.reason,
    )


def _add_report(message: pb.Machine, seen: serial_pb2.WatchMachineResponse) -> None:
    message.queue.CopyFrom(seen.queue)
    if seen.HasField("report"):
        message.report.CopyFrom(seen.report)
    if seen.HasField("holder_round_trip"):
        message.holder_round_trip.CopyFrom(seen.holder_round_trip)


def _abilities(abilities: Abilities) -> pb.Abilities:
    message = pb.Abilities(
        can_jog=abilities.can_jog,
        can_home=abilities.can_home,
        can_override=abilities.can_override,
        can_pulse=abilities.can_pulse,
        can_hold=abilities.can_hold,
        max_spindle=abilities.max_spindle,
        max_feed=abilities.max_feed,
        max_pulse_time=duration(MOST_PULSE_S),
        max_pulse_percent=MOST_PULSE_PERCENT,
    )
    if travel := abilities.travel_mm:
        # GRBL's machine coordinates are negative: home is at the far end of each axis.
        lowest = [-each for each in travel]
        message.travel.min_x_mm, message.travel.min_y_mm, message.travel.min_z_mm = lowest
    return message
