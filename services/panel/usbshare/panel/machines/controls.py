"""The control of every machine, and the consoles that show what their firmware says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.panel.machines.console import Console
from usbshare.panel.machines.control import Control, Place
from usbshare.panel.machines.ending import give_up
from usbshare.panel.machines.machine_view import Machine, MachineKey
from usbshare.panel.machines.machines import Machines

MOST_CONSOLES = 256

Asked = Callable[[MachineKey, str], None]


class Controls:
    """Makes control and console of a machine at the first use; `asked`: somebody wants control."""

    def __init__(
        self,
        machines: Machines,
        place: Callable[[str], Place | None],
        asked: Asked,
        client_name: str,
    ) -> None:
        self._machines = machines
        self._place = place
        self._asked = asked
        self._client_name = client_name
        self._controls: dict[MachineKey, Control] = {}
        self._consoles: dict[MachineKey, Console] = {}
        machines.subscribe(self._port_seen)

    def of(self, key: MachineKey) -> Control:
        """Return the control of a machine that is known; raises NotFoundError."""
        self._machines.get(key)
        if key not in self._controls:
            console = self.console(key)
            self._controls[key] = Control(key, self, console, self._client_name)
        return self._controls[key]

    def has_control(self, key: MachineKey) -> bool:
        """Return whether the gateway controls a machine."""
        control = self._controls.get(key)
        return control is not None and bool(control.session_id)

    def console(self, key: MachineKey) -> Console:
        """Return the console of a machine; of many machines the oldest one's is forgotten."""
        if key not in self._consoles:
            while len(self._consoles) >= MOST_CONSOLES:
                self._consoles.pop(next(iter(self._consoles)))
            self._consoles[key] = Console()
        return self._consoles[key]

    def machine(self, key: MachineKey) -> Machine:
        """Return a machine that is known; raises NotFoundError."""
        return self._machines.get(key)

    async def close(self) -> None:
        """End what moves, and give up all control."""
        why = "the panel is stopping"
        await asyncio.gather(*(give_up(each, why) for each in self._controls.values()))

    # What control asks and tells.

    def place(self, key: MachineKey) -> Place:
        """Return where a machine's host answers; raises UsbshareError."""
        if (place := self._place(key[0])) is None:
            raise ConnectionRefusedByPeerError(f"host {key[0]!r} has not answered yet")
        return place

    def control_changed(self, control: Control) -> None:
        """Show a machine as it is controlled now."""
        if (machine := self._machines.find(control.key)) is None:
            return  # its port is gone
        machine.own_session = control.session_id
        machine.is_opening = control.is_opening
        machine.activity = control.activity
        machine.settings = control.settings
        machine.firmware_message = control.firmware_message
        self._machines.show(machine)

    def _port_seen(self, machine: Machine) -> None:
        """Show whose it is where its port was away for a while."""
        control = self._controls.get(machine.key)
        if control is None:
            return
        control.port_seen(machine.port.port)
        if machine.own_session != control.session_id:
            self.control_changed(control)

    def control_asked(self, control: Control, who: str) -> None:
        """Pass on that somebody asks for control."""
        self._asked(control.key, who)
