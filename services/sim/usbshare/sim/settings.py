"""GRBL's `$n=v` settings: the list, its defaults for a small laser, and what may be stored."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from usbshare.sim.status_codes import Status


class Kind(Enum):
    """How a setting is stored and printed."""

    BYTE = "byte"
    FLAG = "flag"
    REAL = "real"
    SPEED = "speed"


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of `$$`; the default is in GRBL's unit of that setting."""

    kind: Kind
    default: float


_AXES = {100: 80.0, 110: 12000.0, 120: 500.0, 130: 400.0}

SETTINGS: dict[int, Setting] = {
    0: Setting(Kind.BYTE, 10),
    1: Setting(Kind.BYTE, 25),
    2: Setting(Kind.BYTE, 0),
    3: Setting(Kind.BYTE, 0),
    4: Setting(Kind.FLAG, 0),
    5: Setting(Kind.FLAG, 0),
    6: Setting(Kind.FLAG, 0),
    10: Setting(Kind.BYTE, 3),
    11: Setting(Kind.REAL, 0.010),
    12: Setting(Kind.REAL, 0.002),
    13: Setting(Kind.FLAG, 0),
    20: Setting(Kind.FLAG, 0),
    21: Setting(Kind.FLAG, 0),
    22: Setting(Kind.FLAG, 0),
    23: Setting(Kind.BYTE, 3),
    24: Setting(Kind.REAL, 300.0),
    25: Setting(Kind.REAL, 3000.0),
    26: Setting(Kind.BYTE, 250),
    27: Setting(Kind.REAL, 1.0),
    30: Setting(Kind.SPEED, 1000.0),
    31: Setting(Kind.SPEED, 0.0),
    32: Setting(Kind.FLAG, 1),
    **{first + n: Setting(Kind.REAL, v) for first, v in _AXES.items() for n in (0, 1)},
    102: Setting(Kind.REAL, 80.0),
    112: Setting(Kind.REAL, 600.0),
    122: Setting(Kind.REAL, 50.0),
    132: Setting(Kind.REAL, 50.0),
}


class Settings:
    """The stored settings; they outlive every reset."""

    def __init__(self) -> None:
        self._values: dict[int, float] = {}
        self.restore_defaults()

    def restore_defaults(self) -> None:
        """Set everything back, as `$RST=$` does."""
        self._values.update({number: setting.default for number, setting in SETTINGS.items()})
        self._derive()

    def __getitem__(self, number: int) -> float:
        return self._values[number]

    def store(self, number: int, value: float) -> Status:
        """Store a value as `$number=value` would and return the answer."""
        status = self._check(number, value)
        if status is Status.OK:
            self._values[number] = _stored(SETTINGS[number].kind, value)
            if number == 22 and not value:
                self._values[20] = 0
            self._derive()
        return status

    def lines(self) -> list[str]:
        """Return the answer to `$$`."""
        return [f"${number}={self._printed(number)}" for number in sorted(SETTINGS)]

    def _check(self, number: int, value: float) -> Status:
        if value < 0:
            return Status.NEGATIVE_VALUE
        if number not in SETTINGS:
            return Status.INVALID_STATEMENT
        if number == 0 and value < 3:
            return Status.STEP_PULSE_MIN
        if number == 20 and value and not self._values[22]:
            return Status.SOFT_LIMIT_ERROR
        return Status.OK

    def _printed(self, number: int) -> str:
        decimals = 3 if SETTINGS[number].kind is Kind.REAL else 0
        return f"{self._values[number]:.{decimals}f}"

    def _derive(self) -> None:
        v = self._values
        self.report_inches = bool(v[13])
        self.soft_limits = bool(v[20])
        self.hard_limits = bool(v[21])
        self.homing = bool(v[22])
        self.laser_mode = bool(v[32])
        self.steps_per_mm = (v[100], v[101], v[102])
        self.rate_mm_s = (v[110] / 60, v[111] / 60, v[112] / 60)
        self.acceleration = (v[120], v[121], v[122])
        self.travel = (v[130], v[131], v[132])


def _stored(kind: Kind, value: float) -> float:
    if kind is Kind.FLAG:
        return float(bool(int(value)))
    if kind is Kind.BYTE:
        return float(int(value) & 0xFF)
    return value
