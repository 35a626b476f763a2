"""What the console's commands do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from usbshare.base.errors import DeviceError, NotFoundError
from usbshare.bridge.console.endpoints import KINDS, Endpoints
from usbshare.bridge.console.host import Host
from usbshare.bridge.console.job_list import JobList
from usbshare.bridge.console.lines import Kind, Line, answers, problem
from usbshare.bridge.console.machine import Machine
from usbshare.bridge.console.table import Asker, Command, Run, Table, When
from usbshare.bridge.hosts import survey
from usbshare.bridge.hosts.inventory import Inventory
from usbshare.bridge.tables import ports
from usbshare.client.access import confirm
from usbshare.client.status.host_watch import look_once
from usbshare.client.status.text import page
from usbshare.line.stop_actions import StopAction

DEVICES_S = 8.0
LOOK_S = 5.0


def command_table(host: Host) -> Table:
    """Return the console's commands for a host."""

    async def help_(_: Asker, arguments: Sequence[str]) -> Sequence[Line]:
        return answers(table.help_of(" ".join(arguments)) if arguments else table.help())

    about = Command("help", "show the commands, or one of them", help_, "[COMMAND] [WORD]")
    table = Table([*_stops(host), *_views(host), *_own(host), *_endpoints(host), about])
    return table


def _stops(host: Host) -> list[Command]:
    def stopping(action: StopAction) -> Run:
        async def run(asker: Asker, _: Sequence[str]) -> Sequence[Line]:
            return [await host.stop(asker.port_id, action, asker.name, asker.tell)]

        return run

    async def resume(asker: Asker, _: Sequence[str]) -> Sequence[Line]:
        seen = (await host.use(asker.port_id)).remote
        return [await host.stops.resume(seen, f"console, {asker.name}")]

    async def rearm(asker: Asker, _: Sequence[str]) -> Sequence[Line]:
        return [await host.stops.rearm((await host.use(asker.port_id)).remote)]

    async def confirm_code(_: Asker, arguments: Sequence[str]) -> Sequence[Line]:
        until = (await confirm(*host.place, arguments[0])).astimezone()
        return [Line(f"confirmed until {until:%Y-%m-%d %H:%M}", Kind.OK)]

    def stop(name: str, does: str, action: StopAction) -> Command:
        return Command(name, does, stopping(action), "", "stop", When.AT_ONCE)

    emergency = "stop at once, beam off; latched until `rearm`"
    return [
        stop("stop", emergency, StopAction.EMERGENCY_STOP),
        stop("hold", "pause; the beam may stay on", StopAction.HOLD),
        stop("door", "pause with the beam off", StopAction.SAFETY_DOOR),
        Command("resume", "continue what is held", resume, "", "control", When.AT_ONCE),
        Command(
            *("rearm", "let lines through again after a stop", rearm, "", "control"),
            by_person=True,
        ),
        Command(
            *("confirm", "give a code from your authenticator app", confirm_code, "CODE"),
            by_person=True,
        ),
    ]


def _views(host: Host) -> list[Command]:
    async def devices(_: Asker, arguments: Sequence[str]) -> Sequence[Line]:
        if arguments not in ((), ("all",)):
            raise NotFoundError(f"usage: `devices [all]`, not {arguments[0]!r}")
        return _shown(await _inventory(host, everywhere=bool(arguments)))

    async def status(asker: Asker, _: Sequence[str]) -> Sequence[Line]:
        return [*await _of_host(host, asker.port_id), *_of_console(host.machine(asker.port_id))]

    async def use(asker: Asker, arguments: Sequence[str]) -> Sequence[Line]:
        asker.use((await host.use(arguments[0])).port_id)
        return [Line(f"using port '{arguments[0]}'", Kind.OK)]

    listed = "show the ports; `all`: of all known hosts"
    return [
        Command("devices", listed, devices, "[all]", "view", aliases=("device list", "device")),
        JobList(host).command(),
        Command("status", "show the state of the port and its machine", status, "", "view"),
        Command("use", "use another port of the host", use, "PORT", "view", When.IN_TURN),
    ]


def _own(host: Host) -> list[Command]:
    async def release(asker: Asker, _: Sequence[str]) -> Sequence[Line]:
        machine = host.machine(asker.port_id)
        if await machine.release(asker.holder):
            return [Line(f"port '{asker.port_id}' is free")]
        return [Line(f"port '{asker.port_id}' is still in use: {machine.used_by}")]

    async def quit_(asker: Asker, _: Sequence[str]) -> Sequence[Line]:
        asker.leave()
        return []

    return [
        Command("release", "give the port back to others", release, "", "", When.IN_TURN),
        Command("quit", "end", quit_, aliases=("exit", "bye")),
    ]


def _endpoints(host: Host) -> list[Command]:
    endpoints = Endpoints(host)
    kinds, in_turn = ", ".join(KINDS), When.IN_TURN
    return [
        Command(
            *("endpoint add", f"offer the port to other programs: {kinds}", endpoints.add),
            *("KIND HOST:PORT", "control", in_turn),
        ),
        Command("endpoint list", "show what is offered", endpoints.list, aliases=("endpoint",)),
        Command("endpoint remove", "stop offering it", endpoints.remove, "HOST:PORT", "", in_turn),
    ]


async def _inventory(host: Host, *, everywhere: bool) -> Inventory:
    target, bundle = host.place
    if not everywhere:
        return await survey.survey_one(target, bundle, DEVICES_S)
    if host.settings is None:
        from usbshare.bridge.settings import Settings  # noqa: PLC0415 - imports pydantic

        return await survey.survey_all(Settings(), (target,), bundle, DEVICES_S)
    return await survey.survey_all(host.settings, (target,), bundle, DEVICES_S)


def _shown(found: Inventory) -> list[Line]:
    items = found.all_matching(())
    lines = answers([ports.as_table(items)]) if items else []
    failed = [Line(" ".join(each.reason.split()), Kind.PROBLEM) for each in found.failures]
    if not lines and not failed:
        raise DeviceError("no host has a port or a camera that you may see")
    return [*lines, *failed]


async def _of_host(host: Host, port_id: str) -> list[Line]:
    """Return what the host says of the port, or why it does not answer."""
    target, bundle = host.place
    found = await look_once(target.name or str(target), target, bundle, LOOK_S)
    if found.failure:
        return [problem(found.failure)]
    port = tuple(each for each in found.ports if each.port.id == port_id)
    return answers([page([replace(found, ports=port)])])


def _of_console(machine: Machine) -> list[Line]:
    session = machine.session
    does = "in control" if machine.in_control else "observing"
    link = "link up" if session is not None and session.is_connected else "the link is down"
    endpoints = [f"    endpoint    {path}" for path in machine.paths()]
    return answers([f"    console     {does}, {link}", *endpoints])
