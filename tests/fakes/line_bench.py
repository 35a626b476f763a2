"""A port on a fake machine, and a client that streams lines to it."""

from __future__ import annotations

from fakes.device import FakeDevice
from fakes.port_bench import Bench, Client1
from usbshare.line.profiles import GRBL, MARLIN, Profile
from usbshare.serial_svc.sessions.client import (
    Client,
    LineChoice,
    Mode,
    Resumption,
    new_session_id,
)
from usbshare.serial_svc.sessions.events import CommandResult

GREETING = b"\r\nGrbl 1.1h ['$' for help]\r\n"
STARTED = b"start\n"


class LineBench(Bench):
    """As the bench of ports; its device has greeted once a client is there."""

    def __init__(
        self, profile: Profile | None = GRBL, device: FakeDevice | None = None, **config: object
    ) -> None:
        super().__init__(device, **{"profile": profile, "link_timeout_s": 60.0, **config})
        self._greeting = STARTED if profile is MARLIN else GREETING

    async def open_lines(self, choice: LineChoice | None = None, *, greets: bool = True) -> Client1:
        """Open a session that streams lines; the machine has greeted."""
        client = Client(
            new_session_id(),
            "usbshare://site/ann",
            "ann",
            "127.0.0.1:1",
            Mode.CONTROL,
            lines=choice or LineChoice(),
        )
        made = Client1(await self.port.open_session(client), self.port.config.link_timeout_s)
        if greets:
            self.device.say(self._greeting)
        self.device.written.clear()
        return made

    async def come_back(self, lost: Client1, *, results: int, offset: int) -> bool:
        """Take up a session whose client has so many results; False if it is another one."""
        resumption = Resumption(lost.session.token, offset, results=results)
        session = await self.port.open_session(lost.session.client, resumption)
        if session is lost.session:
            lost.connect()
        return session is lost.session


def results(client: Client1) -> list[tuple[str, str]]:
    """Return the outcome and the reply of each result so far."""
    found = [event for event in client.events if isinstance(event, CommandResult)]
    return [(event.outcome.value, event.reply) for event in found]
