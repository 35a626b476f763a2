"""A machine as pages show it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from usbshare.base.errors import NotSupportedError
from usbshare.client.access import OwnRights
from usbshare.client.serial import port_condition
from usbshare.client.serial.messages import RemotePort
from usbshare.line.alarm_texts import needs_reset
from usbshare.line.profiles import GRBL, GRBLHAL, Profile
from usbshare.line.stop_actions import StopAction
from usbshare.panel.machines import condition, firmware_texts
from usbshare.panel.machines.permissions import Permission, permission
from usbshare.panel.seen import SeenMachine, SeenPort

# GRBL's settings: https://github.com/gnea/grbl/blob/master/doc/markdown/settings.md
HOMING, LASER_MODE, MAX_SPINDLE = 22, 32, 30
MAX_RATES, TRAVELS = (110, 111), (130, 131, 132)
# The state of a machine that does nothing more until it is reset.
ASLEEP = "Sleep"
JOGGING = frozenset({GRBL.name, GRBLHAL.name})
MOST_PULSE_S = 1.0
MOST_PULSE_PERCENT = 10.0

MachineKey = tuple[str, str]  # the host's key, and the port's id


class ControlState(Enum):
    """Who controls a machine."""

    UNKNOWN = "unknown"
    FREE = "free"
    OURS = "ours"
    OTHER = "other"
    OPENING = "opening"


class NextStep(Enum):
    """What lets a held or latched machine continue."""

    NONE = "none"
    RESUME = "resume"
    REARM = "rearm"
    HOME = "home"
    UNLOCK = "unlock"
    RESET = "reset"
    AT_MACHINE = "at machine"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a machine can do; `settings` are its own ($$), empty before it was asked."""

    profile: Profile
    settings: dict[int, float] = field(default_factory=dict)

    @property
    def can_jog(self) -> bool:
        """Whether it takes jogs that can be cancelled."""
        return self.profile.name in JOGGING

    @property
    def can_home(self) -> bool:
        """Whether it homes, as far as it says."""
        return self.can_jog and self.settings.get(HOMING, 1) != 0

    @property
    def can_override(self) -> bool:
        """Whether it has overrides."""
        return self.can_jog

    @property
    def can_pulse(self) -> bool:
        """Whether the beam can be pulsed: laser mode is on, so that no spindle starts."""
        return self.can_jog and self.settings.get(LASER_MODE, 0) == 1

    @property
    def can_hold(self) -> bool:
        """Whether it can be held."""
        return StopAction.HOLD in self.profile.stops

    @property
    def max_spindle(self) -> float | None:
        """The S value of full power ($30)."""
        return self.settings.get(MAX_SPINDLE)

    @property
    def max_feed(self) -> float | None:
        """The fastest feed that both X and Y reach, in mm/min."""
        rates = [self.settings[each] for each in MAX_RATES if each in self.settings]
        return min(rates) if rates else None

    @property
    def travel_mm(self) -> tuple[float, ...]:
        """The travel of X, Y and Z in mm; empty if unknown."""
        found = tuple(self.settings[each] for each in TRAVELS if each in self.settings)
        return found if len(found) == len(TRAVELS) else ()


def require_jogs(port: RemotePort, settings: dict[int, float]) -> Abilities:
    """Return what a machine can; NotSupportedError where it has no jogs that can be cancelled."""
    abilities = Abilities(port.profile, settings)
    if not abilities.can_jog:
        raise NotSupportedError(
            f"the firmware of port '{port.id}' ({port.profile.name}) has no jogs that can be "
            "cancelled: use the console"
        )
    return abilities


@dataclass(frozen=True, slots=True)
class MachineView:
    """Everything that pages show of a machine."""

    key: MachineKey
    port: SeenPort
    machine: SeenMachine | None
    stop: Permission
    control: Permission
    take: Permission
    control_state: ControlState
    control_reason: str
    condition: str
    next_step: NextStep
    abilities: Abilities
    firmware_message: str
    activity: str


@dataclass(slots=True)
class Machine:
    """What is known of a machine; `view` makes it one."""

    key: MachineKey
    port: SeenPort
    machine: SeenMachine | None = None
    settings: dict[int, float] = field(default_factory=dict)
    own_session: str = ""
    is_opening: bool = False
    activity: str = ""
    firmware_message: str = ""

    def view(self, rights: Iterable[OwnRights] | None) -> MachineView:
        """Return it as pages show it."""
        remote, known = self.port.port, None if rights is None else tuple(rights)
        id_ = remote.id
        state = self._control_state()
        return MachineView(
            self.key,
            self.port,
            self.machine,
            permission(known, "port", id_, "stop"),
            permission(known, "port", id_, "control"),
            permission(known, "port", id_, "admin"),
            state,
            self._control_reason(state, remote),
            condition.described(remote),
            self._next_step(remote),
            Abilities(remote.profile, self.settings),
            self._firmware_message(remote),
            self.activity,
        )

    @property
    def is_own(self) -> bool:
        """Whether the gateway controls it."""
        return bool(self.own_session) and self.own_session == self.port.holder_session

    def _firmware_message(self, remote: RemotePort) -> str:
        """Return what the firmware said was wrong: an alarm, by whomever it was heard."""
        alarm = port_condition.alarm_of(remote.hold)
        return firmware_texts.explained(alarm) if alarm else self.firmware_message

    def _control_state(self) -> ControlState:
        if self.is_opening:
            return ControlState.OPENING
        if self.is_own:
            return ControlState.OURS
        return ControlState.OTHER if self.port.port.holder else ControlState.FREE

    @property
    def _is_asleep(self) -> bool:
        report = None if self.machine is None else self.machine.status.report
        return report is not None and report.state == ASLEEP

    @staticmethod
    def _control_reason(state: ControlState, remote: RemotePort) -> str:
        if remote.state in ("absent", "failed"):
            why = f": {remote.reason}" if remote.reason else ""
            problem = "not plugged in" if remote.state == "absent" else "not usable"
            return f"the device is {problem}{why}"
        return f"{remote.holder} has control" if state is ControlState.OTHER else ""

    def _next_step(self, remote: RemotePort) -> NextStep:
        if remote.latched:
            return NextStep.REARM
        if remote.hold is None:
            return NextStep.RESET if self._is_asleep else NextStep.NONE
        if remote.hold.release == "resume":
            return NextStep.RESUME
        if remote.hold.cause == "alarm":
            if needs_reset(remote.hold.reason):
                return NextStep.RESET
            is_homing = self.settings.get(HOMING, 1) != 0  # what begins in alarm has switches
            return NextStep.HOME if is_homing else NextStep.UNLOCK
        return NextStep.AT_MACHINE
