"""`usbshare-bridge status`: what the machines of a host, or of all known hosts, are doing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import click

from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.base.event_loop import run
from usbshare.bridge.commands.json_option import json_option
from usbshare.bridge.commands.match_option import DEFAULT_TIMEOUT_S, inventory_of, survey_again
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import connection_options, resolved, trust, wanted
from usbshare.bridge.hosts import latency_view
from usbshare.bridge.hosts.latency_view import LATENCY
from usbshare.bridge.hosts.picking import NO_HOST
from usbshare.bridge.hosts.status_view import follow, look, place_of, places_of
from usbshare.client.latency.records import HostLatency
from usbshare.client.status.follow import STATUS
from usbshare.client.status.records import HostStatus
from usbshare.client.status.shown import Shown


@click.command()
@connection_options
@click.option("--watch", is_flag=True, help="Show it again and again until Ctrl-C.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    metavar="SECONDS",
    help="With --watch: time between two views.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_TIMEOUT_S,
    metavar="SECONDS",
    help="Hosts that do not answer within this time are left out, with a warning.",
)
@click.option(
    "--latency",
    is_flag=True,
    help="Show where the time of round trips goes, part by part, and what to do about it.",
)
@json_option("Print JSON; with --watch, one object per line.")
@click.pass_context
def status(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    watch: bool,
    interval_s: float,
    timeout_s: float,
    latency: bool,
    as_json: bool,
) -> None:
    """Show what the machines of a host are doing; without --target, of all hosts known or found."""
    wishes = wanted(context, target, bundle, insecure)
    trusted, survey, is_silent = trust(wishes), None, False
    if wishes.is_asked:
        places = [place_of(resolved(context, wishes, trusted))]
    else:
        inventory = inventory_of(context, wishes, trusted, timeout_s)
        places, survey = places_of(inventory), survey_again(wishes, trusted, timeout_s)
        is_silent = bool(inventory.failures) and not places
        if not (places or is_silent):
            warn(NO_HOST)
    if watch and latency:
        seen = LATENCY.on(sys.stdout, click.echo, as_json=as_json)
        run(latency_view.follow(places, trusted, interval_s, seen))
        return
    if watch:
        show = STATUS.on(sys.stdout, click.echo, as_json=as_json)
        run(follow(places, trusted, interval_s, show, survey))
        return
    if latency:
        times = run(latency_view.look(places, trusted, timeout_s))
        have_failed = _tell(times, LATENCY, wishes.is_asked, as_json=as_json)
    else:
        hosts = run(look(places, trusted, timeout_s))
        have_failed = _tell(hosts, STATUS, wishes.is_asked, as_json=as_json)
    context.exit(1 if is_silent or have_failed else 0)


_Host = TypeVar("_Host", HostStatus, HostLatency)


def _tell(hosts: Sequence[_Host], shown: Shown[_Host], is_asked: bool, *, as_json: bool) -> bool:
    """Print what answered, warn of the rest; return whether nothing did."""
    if is_asked and hosts[0].failure:
        raise ConnectionRefusedByPeerError(hosts[0].failure)
    answered = [host for host in hosts if not host.failure]
    for host in hosts:
        if host.failure:
            warn(f"{host.name}: {host.failure}")
    if as_json:
        click.echo(shown.json_list(answered))
    elif answered:
        click.echo(shown.page(answered))
    return bool(hosts) and not answered
