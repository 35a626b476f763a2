"""The beam as GRBL's laser mode drives it, and the coolant pins beside it."""

from __future__ import annotations

from usbshare.sim.modal import Spindle
from usbshare.sim.record import Record
from usbshare.sim.settings import Settings


class Laser:
    """The PWM output; power is in S units after override and the limits $30 and $31.

    With M4 the firmware scales the power with the speed; what is recorded is the power at full
    speed, and 0 while the machine is at rest.
    """

    def __init__(self, settings: Settings, record: Record) -> None:
        self._settings = settings
        self._record = record
        self.percent = 100
        self._wanted = 0.0

    @property
    def power(self) -> float:
        """What the beam does now; 0 is off."""
        return self._record.beam_power

    def power_for(self, speed: float) -> float:
        """Return the power for an S value."""
        scaled = speed * self.percent / 100
        if scaled <= 0:
            return 0.0
        return max(min(scaled, self._settings[30]), self._settings[31])

    def shine(self, speed: float, now_s: float) -> None:
        """Set the beam to an S value; 0 turns it off."""
        self._wanted = speed
        self._record.beam(self.power_for(speed), now_s)

    def set_state(self, spindle: Spindle, speed: float, now_s: float) -> None:
        """Do what M3, M4 or M5 does to a machine at rest."""
        dark = spindle is Spindle.OFF
        dark = dark or (spindle is Spindle.DYNAMIC and self._settings.laser_mode)
        self.shine(0.0 if dark else speed, now_s)

    def override(self, percent: int, now_s: float) -> None:
        """Scale the power from now on."""
        self.percent = percent
        self.shine(self._wanted, now_s)


class Coolant:
    """The two coolant pins, often air assist and exhaust."""

    def __init__(self) -> None:
        self.mist = False
        self.flood = False

    def set(self, *, mist: bool, flood: bool) -> None:
        """Switch both pins."""
        self.mist, self.flood = mist, flood
