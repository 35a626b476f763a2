"""Several local ports for one remote port: one program at a time, and lines of the owner."""

from __future__ import annotations

import pytest

from usbshare.base.errors import PortHeldError
from usbshare.bridge.local_ports.shared import SharedPort
from usbshare.bridge.local_ports.virtual_port import VirtualPortListener
from usbshare.line.settings import LineEvents, LineSettings, ModemLines


class Port:
    """A local port with a memory; `opens` is what a program does."""

    def __init__(self, path: str, takes: int = 1000) -> None:
        self.path = path
        self.told: list[object] = []
        self._takes = takes
        self._listener: VirtualPortListener

    async def start(self, listener: VirtualPortListener, settings: LineSettings) -> None:
        self._listener = listener
        self.told.append(settings.baud)

    def opens(self) -> VirtualPortListener:
        self._listener.program_opened()
        return self._listener

    def write(self, data: bytes) -> int:
        self.told.append(data[: self._takes])
        return min(len(data), self._takes)

    def limit_reading(self, most_bytes: int) -> None:
        self.told.append(most_bytes)

    def apply_settings(self, settings: LineSettings) -> None: ...

    def far_end_is(self, host: str, port_id: str) -> None: ...

    def show_events(self, events: LineEvents) -> None: ...

    def show_lines(self, lines: ModemLines) -> None: ...

    def hang_up(self) -> None:
        self.told.append("hung up")
        self._listener.program_closed()

    async def close(self) -> None:
        self.told.append("closed")


class Session:
    """What is joined to it, as far as it is told anything."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def program_wrote(self, data: bytes) -> None:
        self.told.append(data)

    def program_opened(self) -> None:
        self.told.append("opened")

    def program_closed(self) -> None:
        self.told.append("closed")

    def __getattr__(self, name: str) -> object:
        return lambda *_, **__: self.told.append(name)


class Owner:
    """The console, as far as it is told anything."""

    def __init__(self) -> None:
        self.said = b""
        self.news: list[str] = []
        self.hang_ups = 0

    def device_said(self, data: bytes) -> None:
        self.said += data

    def was_hung_up(self) -> None:
        self.hang_ups += 1

    def told(self, text: str) -> None:
        self.news.append(text)


class Rig:
    """A shared port with two local ports."""

    def __init__(self, takes: int = 1000) -> None:
        self.owner, self.session = Owner(), Session()
        self.shared = SharedPort(self.owner)
        self.one, self.other = Port("one", takes), Port("other")

    async def start(self) -> Rig:
        await self.shared.start(self.session, LineSettings(baud=9600))  # type: ignore[arg-type]
        for port in (self.one, self.other):
            await self.shared.add(port)
        return self


async def test_the_first_program_is_served_and_a_second_is_hung_up() -> None:
    rig = await Rig().start()
    first = rig.one.opens()
    second = rig.other.opens()
    first.program_wrote(b"$I\n")
    second.program_wrote(b"G0 X1\n")
    assert rig.session.told == ["opened", b"$I\n"]
    assert "hung up" in rig.other.told
    assert rig.shared.served_path == "one"
    assert rig.owner.news[-1] == "hung up the program at other: one is using the port"


async def test_the_next_is_served_once_the_first_has_left() -> None:
    rig = await Rig().start()
    rig.one.opens().program_closed()
    rig.other.opens().program_wrote(b"$I\n")
    assert rig.session.told == ["opened", "closed", "opened", b"$I\n"]


async def test_lines_of_the_owner_and_programs_keep_each_other_away() -> None:
    rig = await Rig().start()
    rig.shared.begin_line()
    rig.one.opens()
    assert rig.shared.served_path == ""
    rig.shared.end_line()
    rig.one.opens()
    with pytest.raises(PortHeldError, match="the program at one is using the port"):
        rig.shared.begin_line()


async def test_the_owner_sees_each_byte_once_though_the_program_takes_few_at_a_time() -> None:
    rig = await Rig(takes=2).start()
    rig.one.opens()
    rest = b"ok\r\n"
    while rest:
        rest = rest[rig.shared.write(rest) :]
    assert rig.owner.said == b"ok\r\n"


async def test_a_hang_up_reaches_the_program_and_the_owner() -> None:
    rig = await Rig().start()
    rig.one.opens()
    rig.shared.hang_up()
    assert "hung up" in rig.one.told
    assert "hung up" not in rig.other.told
    assert rig.owner.hang_ups == 1
    assert rig.shared.served_path == ""


async def test_a_program_is_limited_as_the_session_said_last() -> None:
    rig = await Rig().start()
    rig.shared.limit_reading(7)
    rig.one.opens()
    rig.shared.limit_reading(0)
    assert rig.one.told[-2:] == [7, 0]


async def test_a_removed_port_is_closed_and_all_are_closed_at_the_end() -> None:
    rig = await Rig().start()
    assert await rig.shared.remove("one") is rig.one
    assert await rig.shared.remove("one") is None
    await rig.shared.close()
    assert (rig.one.told[-1], rig.other.told[-1]) == ("closed", "closed")
    assert rig.shared.paths == []
