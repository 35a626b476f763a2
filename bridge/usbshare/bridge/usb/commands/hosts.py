"""Which hosts' USB services are meant, and what they have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from usbshare.base.errors import UsbshareError
from usbshare.base.event_loop import run
from usbshare.bridge.commands.match_option import (
    DEFAULT_TIMEOUT_S,
    inventory_of_all,
    warn_of_foreign,
)
from usbshare.bridge.commands.notices import told_if_slow, warn
from usbshare.bridge.commands.options import (
    Wanted,
    configured_host,
    is_address,
    resolved,
    says_port,
    trust,
    wanted,
)
from usbshare.bridge.hosts.match_filter import USB
from usbshare.bridge.usb.layers import with_layer
from usbshare.bridge.usb.survey import Found, Survey, survey
from usbshare.client.usb.place import usb_place
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

_Command = Callable[..., Any]
_NOBODY = (
    "no host with a USB service is known: start usb-svc there beside discovery-svc, or give its "
    "port as `usb` under [hosts] in usbshare.toml, or --target HOST"
)
MATCH = click.option(
    "--match",
    metavar="TEXT",
    default="",
    show_default=False,
    help="Only devices with this in their id, name or host, or a pattern of one of them.",
)


def surveyed(
    context: click.Context, target: str | None, bundle: Path | None, insecure: bool
) -> tuple[Survey, ClientBundle | None]:
    """Return what the host has, or all known hosts; warns of those that do not answer.

    Raises UsbshareError where the only one does not.
    """
    wishes = wanted(context, target, bundle, insecure)
    trusted = trust(wishes)
    found = _of_one(context, wishes, trusted) if wishes.is_asked else _of_all(wishes, trusted)
    if len(found.failures) == 1 and not found.answered:
        (error,) = found.failures.values()
        raise UsbshareError(with_layer(error)) from error
    for host, error in found.failures.items():
        warn(f"{host} is left out: {with_layer(error)}")
    return found, trusted


def _of_one(context: click.Context, wishes: Wanted, bundle: ClientBundle | None) -> Survey:
    """Return what one host has. A port that somebody says is its USB service's."""
    name = wishes.target.strip()
    place = _place(context, wishes, bundle)
    with told_if_slow(f"asking {name}"):
        return run(survey({name: place}, bundle, DEFAULT_TIMEOUT_S))


def _place(context: click.Context, wishes: Wanted, bundle: ClientBundle | None) -> Target:
    host = None if is_address(wishes.target) else configured_host(wishes)
    if host is not None and host.usb:
        return Target(host.address, host.usb, name=wishes.target.strip())
    where = resolved(context, wishes, bundle)
    return where if says_port(wishes.target) else run(usb_place(where, bundle))


def _of_all(wishes: Wanted, bundle: ClientBundle | None) -> Survey:
    """Return what all hosts have that are known to have a USB service, or used last."""
    inventory = inventory_of_all(wishes, bundle, DEFAULT_TIMEOUT_S, {USB})
    warn_of_foreign(inventory, bundle)
    if not (inventory.answers or inventory.failures):
        warn(_NOBODY)
    return Survey(
        [
            Found(each.host.name, each.target, device)
            for each in inventory.answers
            for device in each.devices
        ],
        {each.host.name: each.error for each in inventory.failures},
        len(inventory.answers),
    )
