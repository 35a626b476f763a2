"""GRBL's reports: the status report and the answers to `$` queries."""

from __future__ import annotations

from usbshare.sim.machine import Machine
from usbshare.sim.modal import Flow, Spindle
from usbshare.sim.planner import BLOCKS, Vector
from usbshare.sim.receive import RX_BUFFER_BYTES
from usbshare.sim.resolve import MM_PER_INCH
from usbshare.sim.status_codes import State

VERSION = "1.1h"
BUILD = "20190830"
WELCOME = f"\r\nGrbl {VERSION} ['$' for help]"
HELP = "[HLP:$$ $# $G $I $N $x=val $Nx=line $J=line $SLP $C $X $H ~ ! ? ctrl-x]"
_REPORT_MACHINE_POSITION, _REPORT_BUFFERS = 1, 2
_BUSY = (State.HOME, State.RUN, State.HOLD, State.JOG, State.DOOR)


def status_report(machine: Machine, rx_free: int) -> str:
    """Return the answer to `?` and count it for the fields that are sent only sometimes."""
    fields = [_state(machine), _position(machine), *_buffers(machine, rx_free)]
    block = machine.planner.blocks[0] if machine.planner.blocks else None
    if block is not None and block.move.line_number:
        fields.append(f"Ln:{block.move.line_number}")
    rate = machine.motion.speed(machine.now_s) * 60
    fields.append(f"FS:{_rate(machine, rate)},{machine.laser.power:.0f}")
    if machine.pins:
        fields.append("Pn:" + "".join(pin for pin in "PXYZDRHS" if pin in machine.pins))
    fields += _seldom(machine)
    return "<" + "|".join(fields) + ">"


def parameters(machine: Machine) -> list[str]:
    """Return the answer to `$#`."""
    names = [f"G{n}" for n in (54, 55, 56, 57, 58, 59, 28, 30)]
    systems = zip(names, machine.coordinates.systems, strict=True)
    lines = [f"[{name}:{_vector(machine, offset)}]" for name, offset in systems]
    lines.append(f"[G92:{_vector(machine, machine.parser.g92)}]")
    lines.append(f"[TLO:{_length(machine, machine.parser.tool_length)}]")
    lines.append(f"[PRB:{_vector(machine, (0.0, 0.0, 0.0))}:0]")
    return lines


def modes(machine: Machine) -> str:
    """Return the answer to `$G`."""
    parser, modal = machine.parser, machine.parser.modal
    words = [
        f"G{modal.motion.value}",
        f"G{54 + modal.coordinates}",
        f"G{17 + modal.plane}",
        f"G{20 if modal.inches else 21}",
        f"G{91 if modal.incremental else 90}",
        f"G{93 if modal.inverse_time else 94}",
        *([f"M{modal.flow.value}"] if modal.flow is not Flow.RUNNING else []),
        f"M{modal.spindle.value}",
        *_coolant_words(machine),
        f"T{parser.tool}",
        f"F{_rate(machine, parser.feed)}",
        f"S{parser.speed:.0f}",
    ]
    return "[GC:" + " ".join(words) + "]"


def build_info(machine: Machine) -> list[str]:
    """Return the answer to `$I`."""
    version = f"[VER:{VERSION}.{BUILD}:{machine.build_info}]"
    return [version, f"[OPT:VNM,{BLOCKS},{RX_BUFFER_BYTES}]"]


def _state(machine: Machine) -> str:
    if machine.jog_cancelled:
        return State.JOG.value
    if machine.state is State.HOLD:
        return f"Hold:{0 if machine.hold_complete else 1}"
    if machine.state is State.DOOR and machine.door is not None:
        return f"Door:{machine.door.value}"
    return str(machine.state.value)


def _position(machine: Machine) -> str:
    position = machine.position()
    if int(machine.settings[10]) & _REPORT_MACHINE_POSITION:
        return f"MPos:{_vector(machine, position)}"
    (x, y, z), (u, v, w) = position, machine.work_offset()
    return f"WPos:{_vector(machine, (x - u, y - v, z - w))}"


def _buffers(machine: Machine, rx_free: int) -> list[str]:
    if int(machine.settings[10]) & _REPORT_BUFFERS:
        return [f"Bf:{machine.planner.free},{rx_free}"]
    return []


def _seldom(machine: Machine) -> list[str]:
    fields, busy = [], machine.state in _BUSY
    if machine.reports_to_offset > 0:
        machine.reports_to_offset -= 1
    else:
        machine.reports_to_offset = (30 if busy else 10) - 1
        machine.reports_to_override = machine.reports_to_override or 1
        fields.append(f"WCO:{_vector(machine, machine.work_offset())}")
    if machine.reports_to_override > 0:
        machine.reports_to_override -= 1
    else:
        machine.reports_to_override = (20 if busy else 10) - 1
        fields += _overrides(machine)
    return fields


def _overrides(machine: Machine) -> list[str]:
    planner = machine.planner
    fields = [f"Ov:{planner.feed_percent},{planner.rapid_percent},{machine.laser.percent}"]
    accessories = _spindle_letter(machine)
    accessories += "F" if machine.coolant.flood else ""
    accessories += "M" if machine.coolant.mist else ""
    return [*fields, f"A:{accessories}"] if accessories else fields


def _spindle_letter(machine: Machine) -> str:
    if not machine.laser.power:
        return ""
    return "C" if machine.parser.modal.spindle is Spindle.DYNAMIC else "S"


def _coolant_words(machine: Machine) -> list[str]:
    modal = machine.parser.modal
    words = [word for word, on in (("M7", modal.mist), ("M8", modal.flood)) if on]
    return words or ["M9"]


def _vector(machine: Machine, vector: Vector) -> str:
    return ",".join(_length(machine, value) for value in vector)


def _length(machine: Machine, value: float) -> str:
    if machine.settings.report_inches:
        return f"{value / MM_PER_INCH + 0.0:.4f}"
    return f"{round(value, 3) + 0.0:.3f}"


def _rate(machine: Machine, value: float) -> str:
    if machine.settings.report_inches:
        return f"{value / MM_PER_INCH:.1f}"
    return f"{value:.0f}"
