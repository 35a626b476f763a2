"""The steps of `serial-svc doctor`, from the configuration to the firewall."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from usbshare.base.addresses import split_host_port
from usbshare.base.checkup import Judgement, Step, failure, fine, warning
from usbshare.base.config import load_config
from usbshare.base.errors import ConfigError
from usbshare.base.host_names import host_names
from usbshare.base.paths import config_folder, find_config
from usbshare.base.service_settings import ENROLMENT_PORT
from usbshare.base.threads import in_thread
from usbshare.line.device_id_file import KnownDevices, devices_folder
from usbshare.line.device_ids import DeviceNames
from usbshare.line.usb.serial_devices import SerialDeviceFound, list_serial_devices
from usbshare.rpc.channel import DEFAULT_PORT
from usbshare.rpc.server import is_loopback
from usbshare.serial_svc.checkup import devices, host
from usbshare.serial_svc.checkup.brltty import judge_brltty
from usbshare.serial_svc.checkup.firewall_ports import Opening
from usbshare.serial_svc.checkup.processes import Processes
from usbshare.serial_svc.ports.ids import name_devices
from usbshare.serial_svc.settings import Settings
from usbshare.trust.authorities import KEY_FILE, NEXT_KEY_FILE
from usbshare.trust.certificate_checks import judge_key_rights
from usbshare.trust.site import Site

if sys.platform == "win32":
    from usbshare.serial_svc.checkup.firewall_windows import judge_firewall
else:
    from usbshare.serial_svc.checkup.firewall_linux import judge_firewall

CAMERA_PORT = 50052
MDNS_PORT = 5353


@dataclass(frozen=True, slots=True)
class Examined:
    """What is looked at."""

    settings: Settings
    configuration: Judgement
    site: Site
    plugged_in: list[SerialDeviceFound] = field(default_factory=list)
    processes: Processes = field(default_factory=Processes)


def examined(config: Path | None, listen: str | None) -> Examined:
    """Gather what is to be looked at; a bad configuration is a finding, not an error."""
    settings, configuration = Settings(), fine("no configuration file")
    try:
        if path := find_config(config):
            settings, configuration = load_config(path, Settings), fine(f"{path}: correct")
    except ConfigError as error:
        configuration = failure(str(error), "fix it: docs/operations.md lists every key")
    if listen is not None:
        service = settings.service.model_copy(update={"listen": listen})
        settings = settings.model_copy(update={"service": service})
    return Examined(settings, configuration, Site(config_folder(), ""), list_serial_devices())


def steps(what: Examined) -> Iterator[Step]:
    """Yield the checks in their order."""
    site, now = what.site, datetime.now(UTC)
    authority_keys = (site.home / KEY_FILE, site.home / NEXT_KEY_FILE)
    keys = (*authority_keys, site.server_key, site.client_bundle, site.host_bundle)
    yield _step("configuration", lambda: what.configuration)
    yield _step("site authority", partial(host.judge_authority, site, now))
    yield _step("host certificate", lambda: _judge_host_certificate(what, now))
    yield _step("client.pem", partial(host.judge_operator_certificate, site, now))
    yield _step("rules", partial(host.judge_rules, site.folder))
    yield _step("private keys", partial(judge_key_rights, keys))
    yield from _port_steps(what)
    yield _step("ModemManager", partial(devices.judge_modem_manager, what.processes))
    yield _step("brltty", judge_brltty)
    listen = what.settings.service.listen
    yield _step("listen address", partial(host.judge_address, listen, site.client_bundle))
    yield _step("firewall", lambda: _judge_firewall(what))


def _port_steps(what: Examined) -> Iterator[Step]:
    sources = _sources(what)
    if not sources:
        yield _step("serial ports", _no_ports)
    for port_id, source in sources.items():
        name = f"port '{port_id}'"
        yield _step(name, partial(devices.judge_presence, source, what.plugged_in))
        if source.startswith("/") or source.lower().startswith("usb:"):
            yield _step(f"{name} rights", partial(_judge_rights, what, source), name)
            yield _step(f"{name} holder", partial(_judge_holders, what, source), name)


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


def _judge_host_certificate(what: Examined, now: datetime) -> Judgement:
    return host.judge_host_certificate(what.site, host_names(what.settings.tls.names), now)


def _judge_firewall(what: Examined) -> Judgement:
    address, port = split_host_port(what.settings.service.listen, DEFAULT_PORT)
    if is_loopback(address):
        return fine(f"not checked: {what.settings.service.listen} is for this computer only")
    discovery = what.settings.discovery
    _, discovery_port = split_host_port(discovery.listen, 0)
    enrolment = what.settings.tls.enrolment
    enrolment_port = split_host_port(enrolment, ENROLMENT_PORT)[1] if enrolment else 0
    ports = {port, CAMERA_PORT, discovery_port, enrolment_port} - {0}
    wanted = {Opening("tcp", each) for each in ports}
    wanted |= {Opening("udp", MDNS_PORT), Opening("udp", discovery.beacon_port)}
    return judge_firewall(wanted)


def _step(name: str, judge: Callable[[], Judgement], *needs: str) -> Step:
    """Return a step that looks in a thread, since files and sockets may take their time."""

    def judging() -> Awaitable[Judgement]:
        return in_thread(judge)

    return Step(name, judging, needs)
