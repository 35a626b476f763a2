"""The steps of `serial-svc doctor`, from the configuration to the firewall."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from usbshare.base.addresses import split_host_port
from usbshare.base.checkup import Judgement, Step, fine, warning
from usbshare.base.errors import ConfigError
from usbshare.base.paths import config_folder
from usbshare.base.threads import in_thread
from usbshare.base.usual_ports import CAMERA_PORT, ENROLMENT_PORT, JOB_PORT
from usbshare.client.jobs.checkup import judge_job_service
from usbshare.client.status.own_host import JobSettings
from usbshare.line.device_id_file import KnownDevices, devices_folder
from usbshare.line.device_ids import DeviceNames
from usbshare.line.usb.serial_devices import SerialDeviceFound, list_serial_devices
from usbshare.line.usbip.source import is_remote
from usbshare.rpc.channel import DEFAULT_PORT, Target
from usbshare.rpc.server import is_loopback
from usbshare.rpc.tls import ClientBundle
from usbshare.serial_svc.checkup import devices
from usbshare.serial_svc.checkup.brltty import judge_brltty
from usbshare.serial_svc.checkup.firewall_ports import Opening
from usbshare.serial_svc.checkup.processes import Processes
from usbshare.serial_svc.checkup.remote import judge_remote
from usbshare.serial_svc.ports.ids import name_devices
from usbshare.serial_svc.settings import Settings
from usbshare.service.checkup import host
from usbshare.service.checkup.site_steps import read_settings, site_steps, threaded_step
from usbshare.trust.site import Site

if sys.platform == "win32":
    from usbshare.serial_svc.checkup.firewall_windows import judge_firewall
else:
    from usbshare.serial_svc.checkup.firewall_linux import judge_firewall

MDNS_PORT = 5353


@dataclass(frozen=True, slots=True)
class Examined:
    """What is looked at."""

    settings: Settings
    configuration: Judgement
    site: Site
    plugged_in: list[SerialDeviceFound] = field(default_factory=list)
    processes: Processes = field(default_factory=Processes)
    job_listen: str = f"[::]:{JOB_PORT}"


def examined(config: Path | None, listen: str | None) -> Examined:
    """Gather the inputs; a bad configuration is a finding, not an error."""
    settings, configuration = read_settings(config, Settings)
    others, _ = read_settings(config, JobSettings)
    if listen is not None:
        service = settings.service.model_copy(update={"listen": listen})
        settings = settings.model_copy(update={"service": service})
    site, devices_found = Site(config_folder(), ""), list_serial_devices()
    return Examined(settings, configuration, site, devices_found, job_listen=others.job.listen)


def steps(what: Examined) -> Iterator[Step]:
    """Yield the checks in their order."""
    site = what.site
    yield from site_steps(what.configuration, site, what.settings.tls.names)
    yield from _port_steps(what)
    yield threaded_step("ModemManager", partial(devices.judge_modem_manager, what.processes))
    yield threaded_step("brltty", judge_brltty)
    listen = what.settings.service.listen
    yield threaded_step("listen address", partial(host.judge_address, listen, site.client_bundle))
    yield Step("job-svc", partial(_judge_jobs, what))
    yield threaded_step("firewall", lambda: _judge_firewall(what))


async def _judge_jobs(what: Examined) -> Judgement:
    """Check the job service of this host; it has run here if it has a certificate."""
    address, port = split_host_port(what.job_listen, JOB_PORT)
    target = Target(host.own_address(address), port)
    has_run = await in_thread(what.site.job_bundle.exists)
    try:
        bundle = await in_thread(ClientBundle.load, what.site.client_bundle)
    except ConfigError:
        return fine("not asked: there is no client.pem to ask with")
    return await judge_job_service(target, bundle, is_expected=has_run)


def _port_steps(what: Examined) -> Iterator[Step]:
    sources = _sources(what)
    if not sources:
        yield threaded_step("serial ports", _no_ports)
    for port_id, source in sources.items():
        name = f"port '{port_id}'"
        if is_remote(source):
            yield Step(name, partial(judge_remote, source))
            continue
        yield threaded_step(name, partial(devices.judge_presence, source, what.plugged_in))
        if source.startswith("/") or source.lower().startswith("usb:"):
            yield threaded_step(f"{name} rights", partial(_judge_rights, what, source), name)
            yield threaded_step(f"{name} holder", partial(_judge_holders, what, source), name)


def _sources(what: Examined) -> dict[str, str]:
    """Return the configured ports, or those that are offered without configuration."""
    if what.settings.ports:
        return {port_id: table.source for port_id, table in what.settings.ports.items()}
    known = KnownDevices(devices_folder("serial-svc", what.settings.service.listen))
    known.load()
    return {
        port_id: found.path for port_id, found in name_devices(what.plugged_in, DeviceNames(known))
    }


def _no_ports() -> Judgement:
    return warning(
        "none is configured and no USB serial device is plugged in: only a simulated laser is "
        "offered",
        "plug the device in (`lsusb` shows it), or configure a built-in one as [ports.NAME]",
    )


def _judge_rights(what: Examined, source: str) -> Judgement:
    from usbshare.serial_svc.checkup.rights import judge_rights  # noqa: PLC0415 - POSIX only

    path = devices.local_path(source, what.plugged_in)
    return fine("Windows has no such permissions") if path is None else judge_rights(path)


def _judge_holders(what: Examined, source: str) -> Judgement:
    path = devices.local_path(source, what.plugged_in)
    if path is None:
        return fine("unknown on this system")
    return devices.judge_holders(path, what.processes)


def _judge_firewall(what: Examined) -> Judgement:
    address, port = split_host_port(what.settings.service.listen, DEFAULT_PORT)
    if is_loopback(address):
        return fine(f"not checked: {what.settings.service.listen} is for this computer only")
    discovery = what.settings.discovery
    _, discovery_port = split_host_port(discovery.listen, 0)
    enrolment = what.settings.tls.enrolment
    enrolment_port = split_host_port(enrolment, ENROLMENT_PORT)[1] if enrolment else 0
    job_address, job_port = split_host_port(what.job_listen, JOB_PORT)
    ports = {port, CAMERA_PORT, discovery_port, enrolment_port} - {0}
    ports |= set() if is_loopback(job_address) else {job_port}
    wanted = {Opening("tcp", each) for each in ports}
    wanted |= {Opening("udp", MDNS_PORT), Opening("udp", discovery.beacon_port)}
    return judge_firewall(wanted)
