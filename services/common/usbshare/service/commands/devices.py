"""The `devices` commands of a service: what is plugged in, and what may be offered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from usbshare.authorization.device_list import allow, deny, deny_device, named
from usbshare.authorization.devices import LISTED, PluggedIn, fits, is_allowed
from usbshare.authorization.policy import POLICY_FILE, Policy, load_policy
from usbshare.base.errors import NotFoundError
from usbshare.base.paths import config_folder
from usbshare.line.device_id_file import devices_folders, forget, known_names
from usbshare.line.usb.device import DeviceSelector, UsbDevice, parse_selector, shown
from usbshare.service.cli import teller
from usbshare.service.command_group import CommandGroup
from usbshare.service.folders_in_time import Folders, FoldersCommand

_ANY = (
    'the policy says devices = "any": every device may be offered; set devices = "listed" '
    "to refuse those that are not on the list"
)


Look = Callable[[], Sequence[PluggedIn]]


def devices_group(service: str, look: Look) -> click.Group:
    """Return the group; `look` lists what the service could offer."""

    @click.group(cls=CommandGroup, invoke_without_command=True)
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.pass_context
    def devices(context: click.Context, as_json: bool) -> None:
        """List the USB devices that are plugged in, and whether they may be offered."""
        if context.invoked_subcommand is None:
            policy = Folders(teller(service)).run(lambda: load_policy(_path()))
            _print(service, policy, look(), as_json=as_json)

    @devices.command("allow", cls=FoldersCommand)
    @click.argument("selector")
    @click.option("--note", default="", help="A description, for readers of the policy.")
    def allow_command(selector: str, note: str) -> None:
        """Allow a device to be offered.

        SELECTOR is VID:PID, VID:PID:SERIAL, either with @SOCKET, @SOCKET alone, or the node of a
        device that is plugged in, such as /dev/ttyUSB0.
        """
        _allow(_selected(selector, look()), note)

    @devices.command("deny", cls=FoldersCommand)
    @click.argument("selector")
    def deny_command(selector: str) -> None:
        """Remove a device from the list.

        SELECTOR is as for allow; the node of a device removes every entry that matches it.
        """
        _deny(selector, look())

    @devices.command("forget", cls=FoldersCommand)
    @click.argument("name", metavar="ID")
    def forget_command(name: str) -> None:
        """Let a port or camera take the device that is there now.

        A port or camera remembers its first device, so that no other device takes its place
        unasked. ID is the id of the port or camera. Check what is plugged in before you forget a
        device.
        """
        _forget(service, name)

    return devices


def _forget(service: str, name: str) -> None:
    folders = devices_folders(service)
    had = forget(folders, name)
    if not had:
        names = ", ".join(known_names(folders)) or "none"
        raise NotFoundError(f"no device is remembered for '{name}'; remembered for: {names}")
    for device in had:
        what = str(device) if device is not None else "a device that could not be identified"
        click.echo(f"{name}: forgot {what}; when opened, it takes the next device found there")


def _path() -> Path:
    return config_folder() / POLICY_FILE


def _allow(selector: DeviceSelector, note: str) -> None:
    is_new = allow(_path(), selector, note)
    click.echo(f"{selector}: {'allowed' if is_new else 'was already allowed'}")
    _say_if_any()


def _deny(text: str, plugged_in: Sequence[PluggedIn]) -> None:
    at_node = _at(text, plugged_in)
    removed = deny_device(_path(), at_node) if at_node else deny(_path(), parse_selector(text))
    for selector in removed:
        click.echo(f"{selector}: no longer allowed")
    _say_if_any()


def _say_if_any() -> None:
    if load_policy(_path()).devices != LISTED:
        click.echo(_ANY, err=True)


def _selected(text: str, plugged_in: Sequence[PluggedIn]) -> DeviceSelector:
    at_node = _at(text, plugged_in)
    return at_node.selector if at_node else parse_selector(text)


def _at(text: str, plugged_in: Sequence[PluggedIn]) -> UsbDevice | None:
    """Return the device at a node; None if the text is no node."""
    for each in plugged_in:
        if text.upper() == each.node.upper() or _leads_to(text, each.node):
            return each.device
    if "/" in text:
        nodes = ", ".join(each.node for each in plugged_in) or "none"
        raise NotFoundError(f"no USB device of this service is at {text}; available: {nodes}")
    return None


def _leads_to(text: str, node: str) -> bool:
    return text.startswith("/") and Path(text).resolve() == Path(node).resolve()


def _print(service: str, policy: Policy, found: Sequence[PluggedIn], *, as_json: bool) -> None:
    unseen = [
        str(named(entry))
        for entry in policy.allowed_devices
        if not any(fits(entry, each.device) for each in found)
    ]
    if as_json:
        devices = [{**_as_json(each), "allowed": is_allowed(policy, each.device)} for each in found]
        click.echo(json.dumps({"policy": policy.devices, "devices": devices, "absent": unseen}))
        return
    for each in found:
        click.echo(_line(service, policy, each))
    for text in unseen:
        click.echo(f"{text}  on the list, not plugged in")
    if not found:
        click.echo("no USB device for this service is plugged in", err=True)
    if policy.devices != LISTED:
        click.echo(_ANY, err=True)


def _as_json(each: PluggedIn) -> dict[str, object]:
    device = asdict(each.device)
    ids = {"vid": f"{each.device.vid:04x}", "pid": f"{each.device.pid:04x}"}
    return {"node": each.node, "name": each.name, **device, **ids}


def _line(service: str, policy: Policy, each: PluggedIn) -> str:
    text = f"{each.node}  {each.device}  {shown(each.name)}".rstrip()
    if is_allowed(policy, each.device):
        return f"{text}: allowed"
    return f"{text}: quarantined; `{service} devices allow {each.device.selector}` allows it"
