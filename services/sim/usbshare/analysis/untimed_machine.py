"""The simulator's machine without a clock: waiting jumps to the next event."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

from usbshare.analysis.byte_rate import PeakRate
from usbshare.sim.machine import Machine
from usbshare.sim.modal import ORIGIN
from usbshare.sim.motion import Drive, travel_time
from usbshare.sim.planner import Move, Vector
from usbshare.sim.record import Record
from usbshare.sim.status_codes import State

# Called with the start of a move, and the move, once the planner has taken it.
MoveListener = Callable[[Vector, Move], None]


class UntimedMachine(Machine):
    """Starts at rest at its work zero, that of G54.

    `now_s` is when the first queued block begins, or when the machine came to rest.

    `free_s` is how far the main loop is, which may be ahead of that. `peak` counts the bytes that
    `expect` told of, each when the block after them begins; bytes for which a resting machine waits
    are not counted.
    """

    def __init__(
        self,
        settings: Mapping[int, float],
        zero: Vector = ORIGIN,
        on_move: MoveListener | None = None,
    ) -> None:
        super().__init__(Record(limit=0))
        # Homing first: without it the soft limits cannot be on.
        for number in sorted(settings, key=lambda number: (number != 22, number)):
            self.settings.store(number, settings[number])
        self.settings.soft_limits = False
        self.coordinates.systems[0] = self.parser.position = zero
        self.planner.reset(zero)
        self.free_s = 0.0
        self.pauses = 0
        self.peak = PeakRate()
        self._on_move = on_move
        self._expected_bytes = 0
        self._needed: deque[int] = deque()

    def expect(self, size_bytes: int, arrival_s: float) -> None:
        """Advance to the time at which a line of that many bytes has arrived."""
        self._expected_bytes += size_bytes
        self.free_s = max(self.free_s, arrival_s)
        if self.free_s > self.now_s:
            self._pass_time(self.free_s)

    def delay(self, seconds: float) -> None:
        """Let the machine, at rest, wait for that many seconds."""
        self.now_s = self.free_s = max(self.now_s, self.free_s) + seconds

    def live_on(self) -> None:
        """Process the next event that the main loop may wait for."""
        if self.planner.blocks:
            self._finish_first()
            self.free_s = max(self.free_s, self.now_s)
        elif self.suspended:
            self.pauses += 1
            self.resume()

    def run_out(self) -> None:
        """Execute everything in the queue."""
        self.start_cycle()
        self._pass_time(math.inf)
        self.free_s = max(self.free_s, self.now_s)

    def say(self, text: str) -> None:
        """Send nothing: there is no receiver."""

    def position(self) -> Vector:
        """Return where the last queued move ends."""
        return self.planner.position

    def enqueue(self, move: Move) -> bool:
        """Queue a move; False when it is too short to be one."""
        planner = self.planner
        start, begins = planner.position, not planner.blocks
        under_way = not begins and self.free_s > self.now_s
        if under_way:
            self._look_inside()
        if not planner.append(move):
            return False
        if under_way:
            self.motion.follow_plan(self.free_s)
        elif begins:
            self.now_s = max(self.now_s, self.free_s)
        if not begins:
            self._needed.append(self._expected_bytes)
        self._expected_bytes = 0
        if self._on_move is not None:
            self._on_move(start, move)
        return True

    def start_cycle(self, state: State = State.RUN) -> None:
        """Execute what is queued, if the machine is idle."""
        if self.state is State.IDLE and self.planner.blocks:
            self.state = state

    def _look_inside(self) -> None:
        """Find out how far the first block has come when a new one arrives during it."""
        motion = self.motion
        if motion.drive is Drive.STILL:
            motion.start(self.now_s, math.sqrt(self.planner.blocks[0].entry_sqr))
        motion.sync(self.free_s)

    def _pass_time(self, until_s: float) -> None:
        while self.planner.blocks and self._end_of_first()[0] <= until_s:
            self._finish_first()

    def _finish_first(self) -> None:
        blocks, target = self.planner.blocks, self.planner.blocks[0].move.target
        self.now_s, speed = self._end_of_first()
        self.planner.discard_first()
        if self.motion.drive is not Drive.STILL:
            self.motion.reset(target)
        if blocks:
            blocks[0].entry_sqr = speed * speed
            self.peak.add(self._needed.popleft(), self.now_s)
        else:
            self.stand()

    def _end_of_first(self) -> tuple[float, float]:
        """Return when the first block ends, and how fast."""
        motion = self.motion
        if motion.drive is not Drive.STILL and motion.next_s is not None:
            return motion.next_s, motion.speed(motion.next_s)
        blocks = self.planner.blocks
        block = blocks[0]
        exit_speed = math.sqrt(blocks[1].entry_sqr) if len(blocks) > 1 else 0.0
        time_s, speed = travel_time(
            math.sqrt(block.entry_sqr), block.left, block.nominal, exit_speed, block.acceleration
        )
        return self.now_s + time_s, speed
