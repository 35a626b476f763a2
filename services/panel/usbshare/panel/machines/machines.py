"""Every machine of every host that answers: what is known of each, for pages and for requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

from usbshare.base.errors import NotFoundError
from usbshare.client.access import OwnRights
from usbshare.panel.board import MACHINES, Board
from usbshare.panel.machines.machine_view import Machine, MachineKey, MachineView
from usbshare.panel.seen import SeenMachine, SeenPort

Pack = Callable[[MachineView], str]


class Machines:
    """Puts each machine on the board as it changes; `changed` is called too."""

    def __init__(self, board: Board, pack: Pack) -> None:
        self._board = board
        self._pack = pack
        self._machines: dict[MachineKey, Machine] = {}
        self._rights: dict[str, tuple[OwnRights, ...]] = {}
        self._listeners: list[Callable[[Machine], None]] = []

    def subscribe(self, changed: Callable[[Machine], None]) -> None:
        """Call back when the port of a machine has changed."""
        self._listeners.append(changed)

    def get(self, key: MachineKey) -> Machine:
        """Return a machine; NotFoundError names those of its host."""
        if (machine := self.find(key)) is None:
            known = ", ".join(sorted(port for host, port in self._machines if host == key[0]))
            raise NotFoundError(f"host {key[0]!r} has no port {key[1]!r}: it has {known or 'none'}")
        return machine

    def find(self, key: MachineKey) -> Machine | None:
        """Return a machine, None where there is none."""
        return self._machines.get(key)

    def of(self, host: str) -> Iterator[Machine]:
        """Yield the machines of a host."""
        yield from [each for each in self._machines.values() if each.key[0] == host]

    def port_seen(self, host: str, port: SeenPort) -> None:
        """Note a port as it is now."""
        key = (host, port.port.id)
        machine = self._machines.get(key)
        if machine is None:
            machine = self._machines[key] = Machine(key, port)
        machine.port = port
        if port.port.state != "open":
            machine.machine = None
        self.show(machine)
        for changed in self._listeners:
            changed(machine)

    def reported(self, key: MachineKey, seen: SeenMachine) -> None:
        """Note what a machine reported."""
        if (machine := self._machines.get(key)) is not None:
            machine.machine = seen
            self.show(machine)

    def rights_seen(self, host: str, rights: Iterable[OwnRights] | None) -> None:
        """Note what this computer may do at a host; None: that is not known any more."""
        if rights is None:
            self._rights.pop(host, None)
        else:
            self._rights[host] = tuple(rights)
        for machine in self.of(host):
            self.show(machine)

    def only(self, host: str, port_ids: Iterable[str]) -> None:
        """Take away the machines of a host that are not among these."""
        kept = set(port_ids)
        for machine in self.of(host):
            if machine.key[1] not in kept:
                self.gone(machine.key)

    def gone(self, key: MachineKey) -> None:
        """Take a machine away."""
        if self._machines.pop(key, None) is not None:
            name = json.dumps({"host": key[0], "portId": key[1]}, ensure_ascii=False)
            self._board.remove(MACHINES, key, name)

    def view(self, machine: Machine) -> MachineView:
        """Return a machine as pages show it."""
        return machine.view(self._rights.get(machine.key[0]))

    def show(self, machine: Machine) -> None:
        """Put a machine on the board as it is now."""
        if self._machines.get(machine.key) is machine:
            self._board.put(MACHINES, machine.key, self._pack(self.view(machine)))
