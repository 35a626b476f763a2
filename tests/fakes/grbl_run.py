"""A simulated GRBL that is fed a whole program, on virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from usbshare.line.settings import LineSettings
from usbshare.sim.grbl import GrblController
from usbshare.sim.receive import RX_BUFFER_BYTES
from usbshare.sim.record import Record
from usbshare.sim.status_codes import State
from usbshare.sim.uart import Uart


@dataclass(frozen=True, slots=True)
class GrblRun:
    """The result: when the machine came to rest, what it answered, and what it burnt."""

    duration_s: float
    answers: list[str]
    record: Record


def run_at_once(lines: Iterable[str], settings: Mapping[int, float] | None = None) -> GrblRun:
    """Give it each line as soon as the one before it is answered; no time passes on the way."""
    controller = _controller(settings or {})
    now_s, answers = 0.0, []
    for line in lines:
        controller.receive(line.encode("latin-1") + b"\n", now_s)
        output = controller.advance(now_s).decode()
        while not (answer := _answers(output)):
            due_s = controller.next_event_s()
            assert due_s is not None, f"{line!r} is never answered: {output}"
            now_s = due_s
            output += controller.advance(now_s).decode()
        answers += answer
    return _settled(controller, now_s, answers)


def run_over_line(
    lines: Iterable[str], baud: int, settings: Mapping[int, float] | None = None
) -> GrblRun:
    """Feed it by character counting over a serial line."""
    controller = _controller(settings or {})
    uart = Uart(controller, LineSettings(baud=baud))
    waiting = deque(line.encode("latin-1") + b"\n" for line in lines)
    sent: deque[int] = deque()
    now_s, output, answers = 0.0, "", list[str]()
    while waiting or sent:
        while waiting and sum(sent) + len(waiting[0]) <= RX_BUFFER_BYTES:
            sent.append(len(waiting[0]))
            assert uart.write(waiting.popleft(), now_s)
        dues = (uart.next_event_s(), uart.next_reply_s())
        now_s = max(now_s, min(due for due in dues if due is not None))
        output += uart.read(now_s).decode()
        whole, _, output = output.rpartition("\n")
        for answer in _answers(whole):
            answers.append(answer)
            sent.popleft()
    return _settled(controller, now_s, answers)


def _controller(settings: Mapping[int, float]) -> GrblController:
    controller = GrblController()
    for number, value in settings.items():
        controller.machine.settings.store(number, value)
    controller.advance(0.0)
    return controller


def _settled(controller: GrblController, now_s: float, answers: list[str]) -> GrblRun:
    while controller.state is not State.IDLE and (due_s := controller.next_event_s()) is not None:
        now_s = max(due_s, now_s)
        controller.advance(now_s)
    return GrblRun(now_s, answers, controller.record)


def _answers(output: str) -> list[str]:
    lines = (line.strip() for line in output.splitlines())
    return [line for line in lines if line == "ok" or line.startswith("error:")]
