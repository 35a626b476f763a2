"""Motion in time: the block being executed, its speed, a hold's deceleration, its end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from usbshare.sim.planner import Block, Planner, Vector


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of constant acceleration (mm/s²) that starts at `speed` (mm/s)."""

    duration_s: float
    speed: float
    acceleration: float


class Drive(Enum):
    """The state of the motors."""

    STILL = "still"
    MOVING = "moving"
    BRAKING = "braking"


def speed_profile(v0: float, length: float, nominal: float, v1: float, a: float) -> list[Phase]:
    """Return the fastest phases over `length` mm from v0 to v1 mm/s, or close to v1."""
    phases = []
    if v0 > nominal:
        slowing = (v0 * v0 - nominal * nominal) / (2 * a)
        if slowing >= length:
            return brake_profile(v0, length, a)
        phases.append(Phase((v0 - nominal) / a, v0, -a))
        v0, length = nominal, length - slowing
    return phases + _up_and_down(v0, length, nominal, min(v1, nominal), a)


def brake_profile(v0: float, length: float, a: float) -> list[Phase]:
    """Return one phase of deceleration `a` (mm/s²) from v0 mm/s to rest, or for `length` mm."""
    end_sqr = v0 * v0 - 2 * a * length
    end = math.sqrt(end_sqr) if end_sqr > 0 else 0.0
    return [Phase((v0 - end) / a, v0, -a)]


def travel_time(
    v0: float, length: float, nominal: float, v1: float, a: float
) -> tuple[float, float]:
    """Return the seconds that `speed_profile` takes, and the speed at its end in mm/s."""
    if v0 > nominal:
        phases = speed_profile(v0, length, nominal, v1, a)
        last = phases[-1]
        return sum(p.duration_s for p in phases), last.speed + last.acceleration * last.duration_s
    v1 = min(v1, nominal)
    gain, v0_sqr, v1_sqr = 2 * a * length, v0 * v0, v1 * v1
    if v0_sqr + gain <= v1_sqr:
        end = math.sqrt(v0_sqr + gain)
        return (end - v0) / a, end
    if v0_sqr - gain >= v1_sqr:
        end = math.sqrt(max(v0_sqr - gain, 0.0))
        return (v0 - end) / a, end
    peak_sqr = (gain + v0_sqr + v1_sqr) / 2
    if peak_sqr <= nominal * nominal:
        return (2 * math.sqrt(peak_sqr) - v0 - v1) / a, v1
    ramps = (2 * nominal * nominal - v0_sqr - v1_sqr) / (2 * a)
    return (2 * nominal - v0 - v1) / a + (length - ramps) / nominal, v1


def _up_and_down(v0: float, length: float, nominal: float, v1: float, a: float) -> list[Phase]:
    gain = 2 * a * length
    if v0 * v0 + gain <= v1 * v1:
        return [Phase((math.sqrt(v0 * v0 + gain) - v0) / a, v0, a)]
    if v0 * v0 - gain >= v1 * v1:
        return brake_profile(v0, length, a)
    peak = math.sqrt((gain + v0 * v0 + v1 * v1) / 2)
    top = min(peak, nominal)
    cruise = (length - (2 * top * top - v0 * v0 - v1 * v1) / (2 * a)) / top if peak > top else 0.0
    up = Phase((top - v0) / a, v0, a)
    return [up, Phase(cruise, top, 0.0), Phase((top - v1) / a, top, -a)]


class Motion:
    """Executes the planner's first block; `next_s` is when that block or a hold ends."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self.drive = Drive.STILL
        self.next_s: float | None = None
        self._since_s = 0.0
        self._left = 0.0
        self._exit_sqr = 0.0
        self._phases: list[Phase] = []
        self._rest: Vector = (0.0, 0.0, 0.0)

    @property
    def block(self) -> Block | None:
        """The block being executed, None when the machine is at rest."""
        return self._planner.blocks[0] if self.drive is not Drive.STILL else None

    def reset(self, position: Vector) -> None:
        """Rest at `position`."""
        self._rest = position
        self._stop()

    def start(self, now_s: float, speed: float = 0.0) -> None:
        """Execute the first block from `speed`."""
        self.drive = Drive.MOVING if self.drive is Drive.STILL else self.drive
        block = self._planner.blocks[0]
        block.entry_sqr = speed * speed
        self._set_out(block, speed, now_s)

    def sync(self, now_s: float) -> None:
        """Tell the planner the current position and speed of the first block."""
        if self.drive is not Drive.STILL:
            block = self._planner.blocks[0]
            done, speed = self._at(now_s)
            block.left = max(0.0, self._left - done)
            block.entry_sqr = speed * speed

    def follow_plan(self, now_s: float) -> None:
        """Adopt a changed plan; call `sync` before the change."""
        if self.drive is Drive.MOVING and self._planned_exit_sqr() != self._exit_sqr:
            self.restart(now_s)

    def restart(self, now_s: float) -> None:
        """Adopt a changed speed of the block itself; call `sync` before the change."""
        if self.drive is not Drive.STILL:
            block = self._planner.blocks[0]
            self._set_out(block, math.sqrt(block.entry_sqr), now_s)

    def brake(self, now_s: float) -> None:
        """Come to a standstill as fast as the machine may."""
        self.sync(now_s)
        self.drive = Drive.BRAKING
        self.restart(now_s)

    def finish(self, now_s: float) -> Block | None:
        """End the phase that was due at `next_s`; return the block if it has been executed."""
        block = self._planner.blocks[0]
        self.sync(now_s)
        if self.drive is Drive.BRAKING and block.left > 1e-6:
            self._rest = block.position()
            self._stop()
            return None
        speed = math.sqrt(block.entry_sqr)
        self._rest = block.move.target
        self._planner.discard_first()
        if self._planner.blocks and not (self.drive is Drive.BRAKING and speed < 1e-6):
            self.start(now_s, speed)
        else:
            self._stop()
        return block

    def position(self, now_s: float) -> Vector:
        """Return where the machine is."""
        if self.drive is Drive.STILL:
            return self._rest
        self.sync(now_s)
        return self._planner.blocks[0].position()

    def speed(self, now_s: float) -> float:
        """Return the speed in mm/s."""
        return 0.0 if self.drive is Drive.STILL else self._at(now_s)[1]

    def _set_out(self, block: Block, speed: float, now_s: float) -> None:
        self._since_s, self._left = now_s, block.left
        self._exit_sqr = self._planned_exit_sqr()
        if self.drive is Drive.BRAKING:
            self._phases = brake_profile(speed, block.left, block.acceleration)
        else:
            self._phases = speed_profile(
                speed, block.left, block.nominal, math.sqrt(self._exit_sqr), block.acceleration
            )
        self.next_s = now_s + sum(phase.duration_s for phase in self._phases)

    def _planned_exit_sqr(self) -> float:
        blocks = self._planner.blocks
        return blocks[1].entry_sqr if len(blocks) > 1 else 0.0

    def _at(self, now_s: float) -> tuple[float, float]:
        """Return distance and speed since the phases began."""
        time, done, speed = now_s - self._since_s, 0.0, 0.0
        for phase in self._phases:
            t = min(time, phase.duration_s)
            speed = max(0.0, phase.speed + phase.acceleration * t)
            done += (phase.speed + speed) / 2 * t
            time -= t
            if time <= 0:
                break
        return done, speed

    def _stop(self) -> None:
        self.drive = Drive.STILL
        self.next_s = None
        self._phases = []
