"""What clients send in serial.proto, as the domain has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from usbshare.base.errors import InvalidArgumentError
from usbshare.line.profiles import Priority, StopAction
from usbshare.line.program_runs import Untouched
from usbshare.line.settings import FlowControl, Parity, SettingsChange
from usbshare.rpc.wire_time import seconds_of
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.line.scheduler import Ordering
from usbshare.serial_svc.sessions.client import Command, Mode, Resumption
from usbshare.serial_svc.sessions.operations import LineStep

LONGEST_NAME_BYTES = 64

T = TypeVar("T")
_new_tuple = tuple.__new__  # what a NamedTuple's own does, a Python call less

_PRIORITIES = {
    pb.PRIORITY_UNSPECIFIED: None,
    pb.PRIORITY_EMERGENCY: Priority.EMERGENCY,
    pb.PRIORITY_HIGH: Priority.HIGH,
    pb.PRIORITY_NORMAL: Priority.NORMAL,
    pb.PRIORITY_LOW: Priority.LOW,
}
_MODES = {
    pb.SESSION_MODE_CONTROL: Mode.CONTROL,
    pb.SESSION_MODE_TAKE: Mode.CONTROL,
    pb.SESSION_MODE_OBSERVE: Mode.OBSERVE,
}
_ORDERINGS = {
    pb.ORDERING_UNSPECIFIED: Ordering.PROGRAM,
    pb.ORDERING_PROGRAM: Ordering.PROGRAM,
    pb.ORDERING_PRIORITY: Ordering.PRIORITY,
}
_STOPS = {
    pb.STOP_ACTION_HOLD: StopAction.HOLD,
    pb.STOP_ACTION_SAFETY_DOOR: StopAction.SAFETY_DOOR,
    pb.STOP_ACTION_RESUME: StopAction.RESUME,
    pb.STOP_ACTION_EMERGENCY_STOP: StopAction.EMERGENCY_STOP,
}
PARITIES = {
    pb.PARITY_NONE: Parity.NONE,
    pb.PARITY_EVEN: Parity.EVEN,
    pb.PARITY_ODD: Parity.ODD,
    pb.PARITY_MARK: Parity.MARK,
    pb.PARITY_SPACE: Parity.SPACE,
}
STOP_BITS = {
    pb.STOP_BITS_ONE: 1.0,
    pb.STOP_BITS_ONE_AND_HALF: 1.5,
    pb.STOP_BITS_TWO: 2.0,
}
FLOW_CONTROLS = {
    pb.FLOW_CONTROL_NONE: FlowControl.NONE,
    pb.FLOW_CONTROL_RTS_CTS: FlowControl.RTS_CTS,
    pb.FLOW_CONTROL_XON_XOFF: FlowControl.XON_XOFF,
}


def mode(message: pb.Open) -> Mode:
    """Return the mode; raises InvalidArgumentError when it is missing."""
    return known(_MODES, message.mode, "open.mode", pb.SessionMode)


def ordering(message: pb.Open) -> Ordering:
    """Return the ordering."""
    return known(_ORDERINGS, message.ordering, "open.ordering", pb.Ordering)


def resumption(message: pb.Open, require_begin: Callable[[], None]) -> Resumption | None:
    """Return which lost session to take up, None for a new one."""
    if not message.resume_token:
        return None
    token, offset, results = message.resume_token, message.resume_offset, message.resume_results
    return Resumption(token, offset, require_begin, results)


def client_name(message: pb.Open | pb.RequestControlRequest) -> str:
    """Return what the client calls itself, on one printable line."""
    field = "open.client_name" if isinstance(message, pb.Open) else "client_name"
    return one_line(message.client_name, field, LONGEST_NAME_BYTES)


def one_line(text: str, field: str, most_bytes: int) -> str:
    """Return a text that may go into a log; raises InvalidArgumentError naming the field."""
    if len(text.encode()) > most_bytes or not text.isprintable():
        raise InvalidArgumentError(f"{field} must be at most {most_bytes} printable bytes")
    return text


def cleaned(text: str, most_bytes: int) -> str:
    """Return a text made fit for a log: a stop is not refused for its words."""
    shown = "".join(each if each.isprintable() else " " for each in text[:most_bytes])
    return shown.encode()[:most_bytes].decode(errors="ignore")


def command(message: pb.Command) -> Command:
    """Return a command."""
    priority = None
    if message.priority:
        priority = known(_PRIORITIES, message.priority, "command.priority", pb.Priority)
    data = Untouched(message.data) if message.untouched else message.data
    after_reset = message.after_reset
    fields = (message.id, priority, message.epoch, message.offset, data, after_reset)
    return _new_tuple(Command, fields)


def settings_change(message: pb.SerialSettings) -> SettingsChange:
    """Return which settings to change."""
    parity, stop_bits = message.parity, message.stop_bits
    flow = message.flow_control
    return SettingsChange(
        baud=message.baud if message.HasField("baud") else None,
        data_bits=message.data_bits if message.HasField("data_bits") else None,
        parity=_optional(PARITIES, parity, "settings.parity", pb.Parity),
        stop_bits=_optional(STOP_BITS, stop_bits, "settings.stop_bits", pb.StopBits),
        flow_control=_optional(FLOW_CONTROLS, flow, "settings.flow_control", pb.FlowControl),
    )


def stop_action(message: pb.StopRequest) -> StopAction:
    """Return the action; raises InvalidArgumentError when it is missing."""
    return known(_STOPS, message.action, "action", pb.StopAction)


def optional_bool(message: Any, field: str) -> bool | None:
    """Return an optional field, None where it is absent."""
    return getattr(message, field) if message.HasField(field) else None


def line_steps(message: pb.LineSequence) -> list[LineStep]:
    """Return the steps of a sequence."""
    return [
        LineStep(
            dtr=optional_bool(step, "dtr"),
            rts=optional_bool(step, "rts"),
            line_break=optional_bool(step, "line_break"),
            delay_s=seconds_of(step.delay, "line_sequence.steps.delay", most=10.0),
        )
        for step in message.steps
    ]


def known(table: Mapping[Any, T], value: Any, field: str, enum: Any) -> T:
    """Return what a value stands for; raises InvalidArgumentError naming what is accepted."""
    if value in table:
        return table[value]
    accepted = ", ".join(enum.Name(key) for key in table)
    given = enum.Name(value) if value in enum.values() else value
    raise InvalidArgumentError(f"{field} is {given}; accepted: {accepted}")


def _optional(table: Mapping[Any, T], value: Any, field: str, enum: Any) -> T | None:
    return None if value == 0 else known(table, value, field, enum)
