"""What a machine says of itself before its job begins."""

from __future__ import annotations

import asyncio

import pytest

from fakes.waiting import until
from usbshare.analysis.dry_run import DryRun
from usbshare.analysis.records import MachineFacts
from usbshare.analysis.untimed_machine import UntimedMachine
from usbshare.base.errors import WrongStateError
from usbshare.job_svc.run import machine_settings as module
from usbshare.job_svc.run.bed import Standing
from usbshare.job_svc.run.machine_settings import MachineSettings
from usbshare.line.machine_report import MachineReport
from usbshare.sim.modal import Modal
from usbshare.sim.receive import clean_line
from usbshare.sim.status_codes import Status


class Asked:
    """Takes the question."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    async def send(self, line: bytes) -> int:
        self.lines.append(line)
        return 1


async def test_settings_work_zero_and_place_are_known_after_the_replies() -> None:
    machine, asked = MachineSettings(), Asked()
    machine.said(b"$130=1.0")  # to somebody else's question
    asking = asyncio.create_task(machine.ask(asked))
    await asyncio.sleep(0)
    assert asked.lines == [b"$$\n"]
    for line in (b"$110=5000.000 (x max rate)\r", b"$130=400.000", b"[MSG:x]", b"$N0=G54"):
        machine.said(line)
    assert machine.is_asking
    machine.replied()
    await until(lambda: asked.lines[1:] == [b"$#\n"])
    for line in (b"[G54:1.000,1.000,0.000]\r", b"[G55:-9.000,2.000,0.000]", b"[G28:7.0,7.0,7.0]"):
        machine.said(line)
    for line in (b"[G92:0.500,0.000,0.000]", b"[TLO:3.000]", b"[PRB:0.000,0.000,0.000:0]"):
        machine.said(line)
    machine.replied()
    await until(lambda: asked.lines[2:] == [b"$G\n"])
    machine.said(b"[GC:G0 G55 G17 G21 G90 G94 M5 M9 T0 F0 S0]\r")
    machine.replied()
    await asking
    machine.reported(MachineReport("Idle", work_position=(1.0, 2.0, 0.0)))
    facts = MachineFacts({110: 5000.0, 130: 400.0}, (-8.5, 2.0, 3.0))
    assert machine.standing == Standing(facts, "G55", (-7.5, 4.0, 3.0))


async def test_a_machine_that_does_not_reply_gets_no_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.01)
    with pytest.raises(WrongStateError, match="does not answer `\\$\\$`"):
        await MachineSettings().ask(Asked())


async def test_a_machine_is_brought_to_the_modes_in_which_programs_are_analysed() -> None:
    left_over = DryRun(UntimedMachine({32: 0}))
    for line in ("G1 F9", "G91 G20 G93 G18 G55", "M3 S900"):
        assert left_over.run(line.replace(" ", ""), 0) is Status.OK
    machine, asked = MachineSettings(), Asked()
    setting = asyncio.create_task(machine.set_modes(asked))
    await asyncio.sleep(0)
    moves = left_over.machine.planner.position
    assert left_over.run(clean_line(asked.lines[0]).decode(), 0) is Status.OK
    machine.replied()
    await setting
    assert left_over.machine.parser.modal == Modal(coordinates=1)  # that is the operator's choice
    assert left_over.machine.planner.position == moves
    refused = asyncio.create_task(machine.set_modes(asked))
    await asyncio.sleep(0)
    machine.replied("error:9")
    with pytest.raises(WrongStateError, match="error:9"):
        await refused
