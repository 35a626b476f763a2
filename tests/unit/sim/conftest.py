"""Controllers on virtual time."""

from __future__ import annotations

import pytest

from usbshare.sim.controller import Controller
from usbshare.sim.grbl import GrblController
from usbshare.sim.marlin import MarlinController


class Bench:
    """A controller and a clock that moves only when told to."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.record = controller.record
        self.now_s = 0.0
        self.greeting = controller.advance(0.0).decode()

    def send(self, text: str | bytes) -> str:
        """Send at the present time and return what is answered at once."""
        data = text.encode("latin-1") if isinstance(text, str) else text
        self.controller.receive(data, self.now_s)
        return self.controller.advance(self.now_s).decode()

    def run(self, seconds: float) -> str:
        """Let time pass and return what was sent meanwhile."""
        self.now_s += seconds
        return self.controller.advance(self.now_s).decode()

    def settle(self, limit_s: float = 600.0) -> str:
        """Let time pass until nothing is due any more."""
        output, end_s = "", self.now_s + limit_s
        while (due_s := self.controller.next_event_s()) is not None and due_s < end_s:
            self.now_s = due_s
            output += self.controller.advance(due_s).decode()
        return output

    def status(self) -> dict[str, str]:
        """Ask for a status report and return its fields, the state under `state`."""
        text = self.send("?").strip().splitlines()[-1].strip("<>")
        state, *fields = text.split("|")
        return {"state": state, **dict(field.split(":", 1) for field in fields)}


@pytest.fixture
def grbl() -> Bench:
    return Bench(GrblController())


@pytest.fixture
def marlin() -> Bench:
    return Bench(MarlinController())
