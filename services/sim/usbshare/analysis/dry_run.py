"""Executes lines in the simulator as fast as they can be computed."""

from __future__ import annotations

from usbshare.analysis.supply import Supply
from usbshare.analysis.untimed_machine import UntimedMachine
from usbshare.sim.program import Answer, Program, Work
from usbshare.sim.status_codes import State, Status
from usbshare.sim.system_commands import SystemCommands


class DryRun:
    """The main loop of a machine; `machine.now_s` is the time of the job.

    Lines arrive as `supply` lets them, without one all at once. Soft limits raise no alarm, so that
    every line is executed: the listener compares the moves with the travel.
    """

    def __init__(self, machine: UntimedMachine, supply: Supply | None = None) -> None:
        self.machine = machine
        self._supply = supply
        self._program = Program(self.machine, self._delay)
        self._system = SystemCommands(self.machine, self._program, self._delay, self.machine.clear)

    @property
    def asleep(self) -> bool:
        """Whether the machine is asleep (`$SLP`) and accepts only a reset."""
        return self.machine.state is State.SLEEP

    def run(self, text: str, size_bytes: int) -> Status:
        """Execute a line as `clean_line` leaves it and return its answer.

        `size_bytes` is what it takes on the wire, its line end included.
        """
        machine, supply = self.machine, self._supply
        machine.expect(size_bytes, supply.arrive(size_bytes) if supply is not None else 0.0)
        status = self._execute(text)
        machine.start_cycle()
        if supply is not None:
            supply.answer(machine.free_s)
        return status

    def finish(self) -> float:
        """Execute what is queued and return how many seconds the whole job takes."""
        self.machine.run_out()
        return self.machine.now_s

    def _execute(self, text: str) -> Status:
        if not text:
            return Status.OK
        if text[0] == "$":
            status = self._answer(self._system.run(text))
            self.machine.settings.soft_limits = False
            return status
        if self.machine.state is State.JOG:
            return Status.LOCKED
        return self._answer(self._program.run(text))

    def _answer(self, work: Answer) -> Status:
        try:
            while True:
                condition = next(work)
                while not condition():
                    self.machine.live_on()
        except StopIteration as end:
            status: Status = end.value
            return status

    def _delay(self, seconds: float) -> Work:
        self.machine.delay(seconds)
        yield _at_once


def _at_once() -> bool:
    return True
