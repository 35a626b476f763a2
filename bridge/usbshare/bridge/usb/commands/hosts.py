"""Which hosts' USB services are meant, and what they have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from usbshare.base.errors import UsbshareError
from usbshare.base.event_loop import run
from usbshare.bridge.commands.match_option import DEFAULT_TIMEOUT_S, inventory_of
from usbshare.bridge.commands.notices import told_if_slow, warn
from usbshare.bridge.commands.options import Wanted, resolved, says_port, trust, wanted
from usbshare.bridge.hosts.match_filter import PORT
from usbshare.bridge.usb.layers import with_layer
from usbshare.bridge.usb.survey import Survey, survey
from usbshare.client.usb.messages import USB_PORT
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

_Command = Callable[..., Any]
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
    hosts = _hosts(context, wishes, trusted)
    with told_if_slow(f"asking {', '.join(hosts) or 'nobody'}"):
        found = run(survey(hosts, trusted, DEFAULT_TIMEOUT_S))
    if len(hosts) == len(found.failures) == 1:
        (error,) = found.failures.values()
        raise UsbshareError(with_layer(error)) from error
    for host, error in found.failures.items():
        warn(f"{host} is left out: {with_layer(error)}")
    return found, trusted


def _hosts(
    context: click.Context, wishes: Wanted, bundle: ClientBundle | None
) -> dict[str, Target]:
    """Return the USB services by the names of their hosts; a port that somebody says is theirs."""
    if not wishes.is_asked:
        found = inventory_of(context, wishes, bundle, DEFAULT_TIMEOUT_S).places_of(PORT)
        return {name: replace(each, port=USB_PORT) for name, each in found.items()}
    where = resolved(context, wishes, bundle)
    place = where if says_port(wishes.target) else replace(where, port=USB_PORT)
    return {wishes.target.strip(): place}
