"""Checks of the services at the target: health, rights, the port, its settings."""

from __future__ import annotations

from collections.abc import Iterable

from usbshare.base.checkup import Judgement, failure, failure_of, fine, skipped, warning
from usbshare.base.errors import PermissionDeniedError, UsbshareError
from usbshare.bridge.checkup.context import Subject
from usbshare.client.health import HealthClient
from usbshare.client.jobs.checkup import judge_job_service
from usbshare.client.jobs.place import job_place
from usbshare.client.serial import port_condition
from usbshare.client.serial.messages import RemotePort
from usbshare.hosts.host_selection import at_address
from usbshare.hosts.instance import Entry, Kind
from usbshare.line.settings import FlowControl, LineSettings
from usbshare.rpc.channel import Target
from usbshare.rpc.other_service import SERIAL_SERVICE, name_other_service

PORT, RIGHTS = "port", "rights"
_SERVING, _NOT_THERE = "SERVING", "NOT_THERE"
_CHOOSE = "choose one with --port"
_START = "look at the host's log, then restart the service there"


async def judge_health(subject: Subject) -> Judgement:
    """Check whether the serial service serves, and so do the host's others that are known."""
    target = subject.where
    try:
        serial = await _status(subject, target, SERIAL_SERVICE)
    except PermissionDeniedError:
        return skipped(RIGHTS)
    if serial == _NOT_THERE:
        return failure_of(await name_other_service(target, subject.bundle, SERIAL_SERVICE))
    others = {
        kind.value: await _status(subject, each, "")
        for kind, each in _others(subject).items()
        if kind is not Kind.JOB  # a check of its own
    }
    measured = ", ".join(
        f"{name} {status}" for name, status in {"serial": serial, **others}.items()
    )
    if serial != _SERVING:
        return failure(measured, _START)
    if any(status != _SERVING for status in others.values()):
        return warning(measured, _START)
    return fine(measured)


async def judge_jobs(subject: Subject) -> Judgement:
    """Check the job service of the host; a connection works without it."""
    announced = _others(subject).get(Kind.JOB)
    place = announced or await job_place(subject.where, subject.bundle)
    return await judge_job_service(place, subject.bundle, is_expected=announced is not None)


async def judge_access(subject: Subject) -> Judgement:
    """Check whether this certificate may see the ports."""
    try:
        subject.ports = await subject.service.list_ports()
    except PermissionDeniedError as error:
        measured, _, remedy = str(error).partition(": ")
        return failure(measured, remedy or "ask the host's operator")
    count = len(subject.ports)
    return fine(f"may list the ports: there {'is 1' if count == 1 else f'are {count}'}")


async def judge_port(subject: Subject) -> Judgement:
    """Check whether the port can be used."""
    if (port := subject.port) is not None:
        return judge_state(port, subject.where, is_own=subject.is_bridged_from_here)
    names = ", ".join(each.id for each in subject.ports)
    if not names:
        return failure("the host offers no ports", "configure one there, or plug its device in")
    if subject.port_id:
        return failure(f"no port '{subject.port_id}' here; available: {names}", _CHOOSE)
    return failure(f"the host has several ports: {names}", _CHOOSE)


def judge_state(port: RemotePort, target: Target, *, is_own: bool) -> Judgement:
    """Say what the state of a port means; `is_own`: a bridge on this computer holds it."""
    name, there = f"port '{port.id}'", f"--target {target} --port {port.id}"
    if port.state not in ("open", "available"):
        why, _, remedy = port.reason.partition(": ")
        look = "run `serial-svc doctor` on the host"
        return failure(f"{name} is {port.state} ({why})", f"{remedy}; {look}" if remedy else look)
    if port.latched:
        lost = port.latch is not None and port.latch.cause == "job lost"
        by = (
            "refuses programs because a job was lost" if lost else "is latched by an emergency stop"
        )
        return failure(
            f"{name} {by}",
            f"once the machine is safe, run `usbshare-bridge stop --rearm {there}`",
        )
    if port.holder and is_own:
        return warning(
            f"{name} is held by {port.holder}, the bridge running on this computer",
            "nothing, if this is the bridge that you want to use; a second one would be refused",
        )
    if port.holder:
        return failure(
            f"{name} is held by {port.holder}",
            "end that bridge; until then you can read the port with --observe",
        )
    if port.hold is not None:
        return warning(
            f"{name} is {port.state}; {port_condition.sentences(port)}",
            f"`usbshare-bridge stop --resume {there}` continues it, `usbshare-bridge stop "
            f"{there}` discards it",
        )
    return fine(f"{name} is {port.state} and free")


async def judge_settings(subject: Subject) -> Judgement:
    """Say how the line is set, and whether its adapter hands bytes over at once."""
    return judge_line(subject.port) if subject.port else skipped(PORT)


def judge_line(port: RemotePort) -> Judgement:
    """Say what the settings of a port mean."""
    latency = {True: ", low latency on", False: ", low latency off", None: ""}[port.low_latency]
    measured = f"{shown_settings(port.settings)}{latency}, profile {port.profile.name}"
    if port.low_latency is False:
        return warning(
            measured,
            "the adapter delays each answer by up to 16 ms: on the host run `echo 1 | sudo tee "
            f"/sys/class/tty/{_device_name(port)}/device/latency_timer`",
        )
    return fine(measured if port.state == "open" else f"{measured} (not open yet)")


def shown_settings(settings: LineSettings) -> str:
    """Return the settings in the usual notation: 115200 8N1."""
    line = f"{settings.baud} {settings.data_bits}{settings.parity.value}{settings.stop_bits:g}"
    flow = settings.flow_control
    return line if flow is FlowControl.NONE else f"{line} {flow.value.replace('_', '/')}"


def _device_name(port: RemotePort) -> str:
    return port.device.rsplit("/", 1)[-1] if port.device.startswith("/dev/tty") else "ttyUSB0"


async def _status(subject: Subject, target: Target, service: str) -> str:
    client = HealthClient(target, subject.bundle)
    try:
        return await client.status(service)
    except UsbshareError as error:
        if target == subject.where:
            raise
        return f"silent ({str(error).partition(': ')[0]})"
    finally:
        await client.close()


def _others(subject: Subject) -> dict[Kind, Target]:
    """Return the other services of the host that are known from discovery or `[hosts]`."""
    target = subject.where
    host, name = target.host, target.tls_name
    known = _same_host(subject.found, target)
    ports = {each.kind: each.port for entry in known for each in entry.instance.endpoints}
    ports.pop(Kind.SERIAL, None)
    return {kind: Target(host, port, name) for kind, port in ports.items()}


def _same_host(found: Iterable[Entry], target: Target) -> list[Entry]:
    """Return the entries of that host with that serial service; several may be on one computer."""
    entries = list(found)
    named = [each for each in entries if target.name and each.instance.name == target.name]
    candidates = named or at_address(target.host, entries)
    return [each for each in candidates if each.instance.port_of(Kind.SERIAL) == target.port]
