"""`usbshare-bridge whoami`: who a host takes this computer for, and what it may do there."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from usbshare.base.event_loop import run
from usbshare.bridge.commands.json_option import json_option
from usbshare.bridge.commands.notices import told_if_slow
from usbshare.bridge.commands.options import connection, connection_options
from usbshare.client.access import OwnRights, WhoAmI, who_am_i


@click.command()
@connection_options
@click.option(
    "--service",
    "kind",
    type=click.Choice(["serial", "camera", "discovery"]),
    default="serial",
    help="Which of the host's services to ask.",
)
@json_option("Print JSON.")
@click.pass_context
def whoami(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    kind: str,
    as_json: bool,
) -> None:
    """Show this computer's identity, its rights on a host, and when its certificate expires."""
    where, trust = connection(context, target, bundle, insecure, kind)
    with told_if_slow(f"waiting for {where} to answer"):
        found = run(who_am_i(where, trust))
    click.echo(_as_json(found) if as_json else _in_words(found))


def _in_words(found: WhoAmI) -> str:
    lines = [f"identity     {found.identity}"]
    if found.certificate_end is not None:
        lines.append(f"certificate  until {_local(found.certificate_end)}")
    if found.confirmed_until is not None:
        lines.append(f"confirmed    until {_local(found.confirmed_until)}")
    lines += [_line(each) for each in found.rights] or ["rights       none"]
    return "\n".join(lines)


def _line(each: OwnRights) -> str:
    what = f"{each.kind} {each.id}".strip()
    rights = ", ".join(
        f"{right} (with a code)" if right in each.to_confirm else right for right in each.rights
    )
    until = "" if each.until is None else f", until {_local(each.until)}"
    return f"{what:<12} {rights}{until}"


def _as_json(found: WhoAmI) -> str:
    return json.dumps(
        {
            "identity": found.identity,
            "certificate_end": _utc(found.certificate_end),
            "confirmed_until": _utc(found.confirmed_until),
            "rights": [
                {
                    "kind": each.kind,
                    "id": each.id,
                    "rights": each.rights,
                    "to_confirm": each.to_confirm,
                    "until": _utc(each.until),
                }
                for each in found.rights
            ],
        },
        indent=2,
    )


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
