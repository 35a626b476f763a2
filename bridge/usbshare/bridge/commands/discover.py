"""`usbshare-bridge discover`: the hosts of the network."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from usbshare.base.addresses import dns_form
from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.base.event_loop import run
from usbshare.base.usual_ports import DISCOVERY_PORT
from usbshare.bridge.commands.json_option import json_option
from usbshare.bridge.commands.notices import told_run, warn
from usbshare.bridge.commands.options import Wanted, trust, wanted
from usbshare.bridge.hosts.discover_view import (
    Search,
    counted_once,
    found_once,
    show_changes,
    show_living,
)
from usbshare.bridge.tables import hosts
from usbshare.client.discovery_stats import remote_stats, reset_remote_stats, why_not
from usbshare.hosts.filter import Filter
from usbshare.hosts.instance import Kind
from usbshare.rpc.channel import Target, parse_target
from usbshare.rpc.tls import ClientBundle

NO_HOST = (
    "no host was found: check that discovery-svc is running on the laser host, and in this "
    "network. A plain address works without discovery: --target 192.168.1.20:50051"
)


class ViaType(click.ParamType[Target]):
    """HOST:PORT of a discovery service; the port may be left out."""

    name = "HOST:PORT"

    def convert(
        self, value: str | Target, param: click.Parameter | None, ctx: click.Context | None
    ) -> Target:
        """Return the target or fail with what is wrong with it."""
        if isinstance(value, Target):
            return value
        try:
            return parse_target(dns_form(value.strip()) or value, DISCOVERY_PORT)
        except InvalidArgumentError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option(
    "--once", is_flag=True, help="List the hosts once and exit; the default without a terminal."
)
@click.option(
    "--watch",
    is_flag=True,
    help=("Print a line for each host that appears, changes or disappears."),
)
@json_option("Print JSON; with --watch, one object per line.")
@click.option("--stats", is_flag=True, help="Print each source's counters instead of the hosts.")
@click.option(
    "--reset-stats",
    is_flag=True,
    help=("Reset the counters of --via to zero; print their values before."),
)
@click.option(
    "--via", type=ViaType(), help=("Ask the discovery service there which hosts it sees.")
)
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    help=("Only hosts with this service."),
)
@click.option(
    "--name",
    default="",
    metavar="PATTERN",
    help=("Part of the name, or a glob that matches all of it."),
)
@click.option(
    "--site", default="", metavar="HEX", help=("The site's fingerprint, or its first digits.")
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    metavar="SECONDS",
    help="How long to search at most, without --watch and the table.",
)
@click.option("--bundle", type=click.Path(path_type=Path), help="Client certificate.")
@click.option("--insecure", is_flag=True, help="Query hosts on this computer in plaintext.")
@click.pass_context
def discover(
    context: click.Context,
    once: bool,
    watch: bool,
    as_json: bool,
    stats: bool,
    reset_stats: bool,
    via: Target | None,
    kind: str | None,
    name: str,
    site: str,
    timeout_s: float,
    bundle: Path | None,
    insecure: bool,
) -> None:
    """Show the hosts on the network; on a terminal, as a table that stays up to date."""
    if watch and (once or stats or reset_stats):
        raise click.UsageError("Use '--watch' without '--once', '--stats' and '--reset-stats'.")
    if reset_stats and via is None:
        raise click.UsageError(
            "'--reset-stats' needs '--via': it resets the counters of that service."
        )
    wishes = wanted(context, None, bundle, insecure)
    certificate = trust(wishes) if via else _trust_if_any(wishes)
    settings = wishes.defaults.settings
    wish = Filter(Kind(kind) if kind else None, name, site)
    search = Search(settings.discovery, settings.hosts, certificate, wishes.insecure, via, wish)
    if stats or reset_stats:
        _print_stats(search, timeout_s, reset=reset_stats, as_json=as_json)
        return
    if via is not None and (error := told_run(via)(why_not(via, certificate))) is not None:
        raise error
    if watch:
        run(show_changes(search, click.echo, as_json=as_json))
    elif once or as_json or not sys.stdout.isatty():
        _print_once(search, timeout_s, as_json=as_json)
    else:
        run(show_living(search, sys.stdout))


def _trust_if_any(wishes: Wanted) -> ClientBundle | None:
    """Return the certificate; without one there is still much to see."""
    try:
        return trust(wishes)
    except ConfigError as error:
        if wishes.bundle is not None:
            raise
        warn(f"{error} (without it this computer cannot tell which hosts belong to your site)")
        return None


def _print_once(search: Search, timeout_s: float, *, as_json: bool) -> None:
    sights = run(found_once(search, timeout_s))
    if as_json:
        click.echo(hosts.as_json(sights))
    elif sights:
        click.echo(hosts.as_table(sights))
    else:
        warn(NO_HOST)


def _print_stats(search: Search, timeout_s: float, *, reset: bool, as_json: bool) -> None:
    if search.via is None:
        reports = run(counted_once(search, timeout_s))
    elif reset:
        reports = run(reset_remote_stats(search.via, search.bundle, timeout_s))
    else:
        reports = run(remote_stats(search.via, search.bundle, timeout_s))
    show = hosts.stats_json if as_json else hosts.stats_table
    click.echo(show(reports))
