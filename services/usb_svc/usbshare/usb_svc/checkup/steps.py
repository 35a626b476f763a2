"""The steps of `usb-svc doctor`, from the configuration to each device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from usbshare.authorization.policy import POLICY_FILE, Policy, load_policy
from usbshare.base.checkup import Judgement, Step
from usbshare.base.errors import ConfigError
from usbshare.base.paths import config_folder, state_folder
from usbshare.line.usb.device import parse_selector
from usbshare.service.checkup import host
from usbshare.service.checkup.site_steps import read_settings, site_steps, threaded_step
from usbshare.trust.site import Site
from usbshare.usb_svc.checkup.devices import judge_device, judge_list
from usbshare.usb_svc.checkup.kernel import judge_driver, judge_rights
from usbshare.usb_svc.devices.host_device import HostDevice, ids_of
from usbshare.usb_svc.devices.judgement import HOST, HostRules, judge
from usbshare.usb_svc.devices.sysfs import list_devices
from usbshare.usb_svc.devices.users import Users
from usbshare.usb_svc.export.loan_notes import note_path
from usbshare.usb_svc.settings import PROGRAM, Places, Settings


@dataclass(frozen=True, slots=True)
class Examined:
    """The inputs of the checks; `folder`: where the service records its loans."""

    settings: Settings
    configuration: Judgement
    site: Site
    places: Places
    folder: Path
    devices: tuple[HostDevice, ...]
    policy: Policy


def examined(config: Path | None, listen: str | None) -> Examined:
    """Gather the inputs; a bad configuration is a finding, not an error. Blocks."""
    settings, configuration = read_settings(config, Settings)
    settings = PROGRAM.listening_at(listen, settings)
    site, places = Site(config_folder(), ""), Places.of_system()
    devices = list_devices(places.sys)
    folder = state_folder() / PROGRAM.name
    return Examined(settings, configuration, site, places, folder, devices, _policy(site))


def steps(what: Examined) -> Iterator[Step]:
    """Yield the checks in their order."""
    site, table, places = what.site, what.settings.usb, what.places
    yield from site_steps(what.configuration, site, what.settings.tls.names)
    yield threaded_step("usbip-host", partial(judge_driver, places.sys))
    yield threaded_step("rights", partial(judge_rights, places.sys, places.proc), "usbip-host")
    yield threaded_step("USB devices", partial(judge_list, what.devices, table.devices))
    for device_id, device in ids_of(what.devices).items():
        yield threaded_step(f"device {device_id}", partial(_judge, what, device))
    listen = table.listen
    yield threaded_step("listen address", partial(host.judge_address, listen, site.client_bundle))


def _judge(what: Examined, device: HostDevice) -> Judgement:
    listed, places = what.settings.usb.devices, what.places
    rules = HostRules(what.policy, None if listed is None else [*map(parse_selector, listed)])
    is_lent = device.driver == HOST and note_path(what.folder, device.busid).exists()
    users = Users(places.proc, places.sys)
    state, reason = judge(device, rules, users, places.sys, is_ours=is_lent)
    return judge_device(device, state, reason, is_lent=is_lent)


def _policy(site: Site) -> Policy:
    """Return the policy in force; what is wrong with it, the check of the rules says."""
    try:
        return load_policy(site.folder / POLICY_FILE)
    except ConfigError:
        return Policy()
