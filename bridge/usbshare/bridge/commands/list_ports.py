"""`usbshare-bridge list`: what a host has, or all known hosts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from usbshare.bridge.commands.json_option import json_option
from usbshare.bridge.commands.match_option import DEFAULT_TIMEOUT_S, inventory_of, match_option
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import connection_options, trust, wanted
from usbshare.bridge.hosts.inventory import Inventory
from usbshare.bridge.hosts.match_filter import Criterion
from usbshare.bridge.hosts.picking import NO_HOST
from usbshare.bridge.hosts.seen_hosts import note_seen
from usbshare.bridge.tables import ports


@click.command("list")
@connection_options
@match_option
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_TIMEOUT_S,
    metavar="SECONDS",
    help="Hosts that do not answer within this time are left out, with a warning.",
)
@json_option("Print JSON.")
@click.pass_context
def list_ports(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    criteria: Sequence[Criterion],
    timeout_s: float,
    as_json: bool,
) -> None:
    """Show a host's ports and cameras; without --target, those of all hosts known or found."""
    wishes = wanted(context, target, bundle, insecure)
    inventory = inventory_of(context, wishes, trust(wishes), timeout_s)
    if wishes.defaults.remembers:
        note_seen(_ports_by_host(inventory))
    items = inventory.all_matching(criteria)
    has_failed = bool(inventory.failures) and not inventory.answers
    if as_json:
        click.echo(ports.as_json(items))
    elif inventory.answers:
        click.echo(ports.as_table(items))
    if not (inventory.answers or inventory.failures):
        warn(NO_HOST)
    elif criteria and not items and not has_failed:
        warn(f"nothing matches {' '.join(map(str, criteria))}")
    context.exit(1 if has_failed else 0)


def _ports_by_host(inventory: Inventory) -> dict[str, list[str]]:
    """Return the ports of the hosts that answered, by name, which a shell then completes."""
    return {
        answer.host.name: [port.id for port in answer.ports]
        for answer in inventory.answers
        if answer.ports
    }
