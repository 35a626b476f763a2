"""Lines streamed through a real service to a simulated machine, over a network that can fail."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fakes.machine import Machine
from fakes.network import Network, running_network
from fakes.processes import Process, running, serial_service
from fakes.waiting import until
from usbshare.base.errors import WrongStateError
from usbshare.client.connection_limiter import Turns
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.dialer import Dialer
from usbshare.client.serial.line_stream import LineAnswer, LineStream
from usbshare.client.serial.link_state import SessionChoice
from usbshare.client.serial.messages import Event, LineOptions, RemotePort
from usbshare.client.serial.stop_report import SeenHold
from usbshare.line.stop_actions import StopAction
from usbshare.rpc.channel import parse_target
from usbshare.rpc.tls import ClientBundle

DEADLINE_S = 90.0


class Told:
    """Remembers all that a stream of lines tells."""

    def __init__(self) -> None:
        self.answers: list[LineAnswer] = []
        self.said = b""
        self.ports: list[RemotePort] = []
        self.links: list[bool] = []
        self.events: list[Event] = []
        self.losses: list[str] = []

    def line_answered(self, answer: LineAnswer) -> None:
        self.answers.append(answer)

    def device_said(self, data: bytes) -> None:
        self.said += data

    def port_changed(self, port: RemotePort) -> None:
        self.ports.append(port)

    def link_changed(self, text: str, *, is_connected: bool) -> None:
        del text
        self.links.append(is_connected)

    def session_event(self, event: Event) -> None:
        self.events.append(event)

    def session_lost(self, why: str) -> None:
        self.losses.append(why)

    @property
    def port(self) -> RemotePort:
        """The port as it was told last."""
        return self.ports[-1]

    def outcomes(self) -> list[str]:
        """Return what became of each line so far, in order."""
        return [answer.outcome for answer in self.answers]

    def has_answers(self, count: int) -> bool:
        """Return whether more than so many lines are answered."""
        return len(self.answers) > count

    def has_linked(self, times: int) -> bool:
        """Return whether the link was there so many times."""
        return self.links.count(True) >= times

    async def until_held(self, cause: str) -> None:
        """Return once the port is held for that cause."""
        await until(lambda: self.port.hold and self.port.hold.cause == cause, DEADLINE_S)


@dataclass(slots=True)
class LineRig:
    """What a test acts on."""

    service: Process
    target: str
    network: Network
    bundle: ClientBundle
    machine: Machine
    firmware: Process
    told: Told = field(default_factory=Told)

    def dialer(self) -> Dialer:
        """Return what connects through the network that can fail."""
        return Dialer(lambda _: self.client(self.network.target), Turns(), time.monotonic)

    def client(self, target: str = "") -> SerialClient:
        """Return a client, the test's to close."""
        return SerialClient(parse_target(target or self.target), self.bundle)

    def stream(self, options: LineOptions | None = None, name: str = "test") -> LineStream:
        """Return a stream of lines, to be entered."""
        lines = options or LineOptions()
        choice = SessionChoice("laser", observe=False, client_name=name, lines=lines)
        return LineStream(self.dialer(), choice, self.told)

    def unplug(self) -> None:
        """Let the device be gone, as a pulled cable does."""
        self.firmware.stop(signal.SIGKILL)

    async def resume(self) -> None:
        """Let the machine go on, as a person does who has looked at it, and again if need be."""
        seen = SeenHold(self.told.port.epoch, self.told.port.hold_number)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    return await self.stop(StopAction.RESUME, seen)
                except WrongStateError as error:
                    # A simulated machine on a busy computer may report late.
                    if "is still held" not in str(error):
                        raise

    async def stop(self, action: StopAction, seen: SeenHold | None = None) -> None:
        """Stop the machine from elsewhere."""
        client = self.client()
        try:
            await client.stop("laser", action, "test", seen=seen)
        finally:
            await client.close()


@asynccontextmanager
async def line_rig(
    home: Path, firmware: str = "grbl", more: str = "", **options: object
) -> AsyncIterator[LineRig]:
    """Run a simulated machine, a service and a network; options are of the port's table.

    `more` is added to the service's configuration.
    """
    path, record = home / f"tty-{firmware}", home / "record.jsonl"
    simulate = ["simulate", firmware, "--pty", str(path), "--record", str(record)]
    with running(["serial-svc", *simulate], home) as simulator:
        simulator.wait_for("ready")
        config = home / "serial.toml"
        chosen = {"profile": f'"{firmware}"', **options}
        table = "".join(f"{key} = {value}\n" for key, value in chosen.items())
        config.write_text(f'[ports.laser]\nsource = "{path}"\n{table}{more}')
        with (
            serial_service(home, "--config", str(config)) as (service, target),
            running_network(target) as network,
        ):
            bundle = ClientBundle.load(home / "config/usbshare/client.pem")
            yield LineRig(service, target, network, bundle, Machine(path, record), simulator)


async def streamed(stream: LineStream, lines: list[bytes]) -> None:
    """Stream lines, and wait for their answers."""
    for line in lines:
        await stream.send(line)
    await stream.drain()
