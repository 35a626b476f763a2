"""One conversation: lines in turn, stops before them, nothing sent behind a hole."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from fakes.waiting import until
from usbshare.base.errors import NotFoundError
from usbshare.bridge.console.audience import Audience
from usbshare.bridge.console.conversation import MOST_READ_AHEAD, MOST_WAITING, Conversation
from usbshare.bridge.console.lines import Line, Tell
from usbshare.bridge.console.table import Asker, Command, Table, When


class Face:
    """A face with a memory."""

    name = "test"
    most_waiting = MOST_WAITING

    def __init__(self, *, is_person: bool) -> None:
        self.is_person = is_person
        self.said: list[str] = []
        self.prompts = 0

    def tell(self, line: Line) -> None:
        self.said.append(line.text)

    hear = tell

    def prompt(self) -> None:
        self.prompts += 1

    async def room(self) -> None: ...

    def leave(self) -> None: ...


class Host:
    """Answers lines when it is let to; `sent` is what came, with its port."""

    usual_port = "laser"
    ports: Sequence[str] = ("laser", "mill")

    def __init__(self) -> None:
        self.audience = Audience()
        self.answers = asyncio.Semaphore(0)
        self.sent: list[tuple[str, str]] = []
        self.is_linked = True

    def machine(self, port_id: str) -> Any:
        host = self

        class Machine:
            async def send(self, text: str, user: object, tell: Tell) -> None:
                host.sent.append((port_id, text))
                await host.answers.acquire()
                tell(Line(f"ok {text}"))

        return Machine()

    def require_port(self, port_id: str) -> str:
        if not port_id:
            raise NotFoundError("no port is chosen")
        return port_id

    def has_link(self, port_id: str) -> bool:
        return self.is_linked

    async def release(self, user: object) -> None: ...


class Rig:
    """A conversation about a host, and the commands that it called with their ports."""

    def __init__(self, *, is_person: bool) -> None:
        self.called: list[str] = []
        self.face, self.host = Face(is_person=is_person), Host()

        async def note(asker: Asker, arguments: Sequence[str]) -> Sequence[Line]:
            self.called.append(" ".join((*arguments, asker.port_id)))
            return []

        table = Table(
            [
                Command("stop", "", note, when=When.AT_ONCE),
                Command("status", "", note),
                Command("use", "", note, "PORT", when=When.IN_TURN),
                Command("rearm", "", note, by_person=True),
            ]
        )
        self.conversation = Conversation(self.face, self.host, table)  # type: ignore[arg-type]
        self.host.audience.join(self.conversation)

    def type(self, *lines: str) -> None:
        for line in lines:
            self.conversation.take(line)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(is_person=False)
    yield made
    await made.conversation.close()


@pytest.fixture
async def person() -> AsyncIterator[Rig]:
    made = Rig(is_person=True)
    yield made
    await made.conversation.close()


async def test_a_line_waits_for_the_answer_to_the_one_before(rig: Rig) -> None:
    rig.type("G0 X1", "G0 X2")
    await until(lambda: len(rig.host.sent) == 1)
    rig.host.answers.release()
    await until(lambda: len(rig.host.sent) == 2)
    assert rig.face.said == ["ok G0 X1"]
    rig.host.answers.release()
    await rig.conversation.finish()
    assert rig.face.said == ["ok G0 X1", "ok G0 X2"]


async def test_a_stop_overtakes_what_waits_and_what_waits_keeps_its_order(rig: Rig) -> None:
    rig.type("G0 X1", "status", "wrong words", "stop")
    await until(lambda: rig.called == ["laser"])
    assert rig.face.said == []
    rig.host.answers.release()
    await rig.conversation.finish()
    assert rig.called == ["laser", "laser"]
    assert rig.face.said[0] == "ok G0 X1"
    assert rig.face.said[1].startswith("'wrong' is neither")


async def test_a_person_need_not_wait_for_a_machine_that_is_at_work(person: Rig) -> None:
    person.type("G0 X1", "status", "rearm")
    await until(lambda: len(person.called) == 2)
    assert person.host.sent == [("laser", "G0 X1")]


async def test_a_stop_behind_use_is_for_that_port_and_lines_before_it_for_theirs(rig: Rig) -> None:
    rig.type("G0 X1", "G0 X2", "use mill", "stop", "G0 X3")
    await until(lambda: rig.called == ["mill"])
    for _ in range(3):
        rig.host.answers.release()
    await rig.conversation.finish()
    assert rig.host.sent == [("laser", "G0 X1"), ("laser", "G0 X2"), ("mill", "G0 X3")]


async def test_lines_waiting_for_a_stopped_port_are_void_and_counted(rig: Rig) -> None:
    rig.type("G0 X1", "G0 X2", "use mill", "G0 X3")
    await until(lambda: len(rig.host.sent) == 1)
    rig.host.audience.discard("laser", "an emergency stop")
    for _ in range(2):
        rig.host.answers.release()
    await rig.conversation.finish()
    assert rig.host.sent == [("laser", "G0 X1"), ("mill", "G0 X3")]
    assert rig.face.said[0] == "1 line discarded, not sent: an emergency stop"
    assert rig.conversation.failures == 1


async def test_too_many_lines_are_void_together_and_nothing_goes_behind_the_hole(rig: Rig) -> None:
    rig.type(*(f"G0 X{number}" for number in range(5 * MOST_WAITING)))
    rig.host.answers.release()
    await rig.conversation.finish()
    rig.type("G0 X9")
    await rig.conversation.finish()
    assert len(rig.host.sent) <= 1
    assert len(rig.face.said) <= 3, "told once, not for each line"
    assert f"more than {MOST_WAITING} lines wait: no line is accepted for 1 s" in rig.face.said


async def test_no_line_is_taken_while_the_link_is_down(rig: Rig) -> None:
    rig.host.is_linked = False
    rig.type("G0 X1", "stop")
    await until(lambda: rig.called == ["laser"])
    await rig.conversation.finish()
    assert rig.host.sent == []
    assert rig.face.said == ["not sent: the link to the host is down"]


async def test_a_program_may_not_rearm(rig: Rig) -> None:
    rig.type("rearm")
    await rig.conversation.finish()
    assert rig.called == []
    assert rig.face.said == ["`rearm` is only for a person at the prompt"]


async def test_each_line_is_followed_by_one_prompt(rig: Rig) -> None:
    rig.type("", "status", "wrong", "stop")
    await rig.conversation.finish()
    assert rig.face.prompts == 4


async def test_a_stop_overtakes_any_number_of_waiting_lines(rig: Rig) -> None:
    rig.face.most_waiting = MOST_READ_AHEAD
    rig.type(*(f"G0 X{number}" for number in range(MOST_READ_AHEAD - 2)), "use mill", "stop")
    await until(lambda: rig.called == ["mill"])
    assert len(rig.host.sent) <= 1
    rig.conversation.discard("laser", "an emergency stop")
    (said,) = rig.face.said
    assert re.fullmatch(r"81(89|90) lines discarded, not sent: an emergency stop", said)
