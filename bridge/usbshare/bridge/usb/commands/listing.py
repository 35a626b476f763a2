"""`usbshare-bridge usb list` and `status`: what there is, and what is attached here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from usbshare.base.terminal_safe_text import clean_text
from usbshare.base.terminal_text import width
from usbshare.bridge.commands.json_option import json_option
from usbshare.bridge.commands.options import connection_options
from usbshare.bridge.usb.commands.hosts import MATCH, surveyed
from usbshare.bridge.usb.records import records
from usbshare.bridge.usb.survey import Found

_LONGEST = 200
_DEVICES = ("HOST", "ID", "STATE", "NAME", "WHY")
_ATTACHED = ("DEVICE", "HOST", "STATE", "SINCE", "PROCESS")


@click.command("list")
@connection_options
@MATCH
@json_option("Print JSON.")
@click.pass_context
def list_devices(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    match: str,
    as_json: bool,
) -> None:
    """Show the USB devices of a host; without --target, those of all hosts known or found."""
    found, _ = surveyed(context, target, bundle, insecure)
    shown = [each for each in found.found if not match or each.matches(match)]
    if as_json:
        click.echo(json.dumps([_object(each) for each in shown], indent=2, ensure_ascii=False))
    else:
        click.echo(_table(_DEVICES, map(_row, shown)))
    context.exit(1 if found.failures and not found.answered else 0)


@click.command()
@json_option("Print JSON.")
def status(as_json: bool) -> None:
    """Show the devices that are attached to this computer, by this user."""
    found = records()
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False))
        return
    rows = [(each.device, each.host, each.state, each.since, str(each.pid)) for each in found]
    click.echo(_table(_ATTACHED, rows))


def _row(found: Found) -> Sequence[str]:
    device = found.device
    return (found.host, device.id, device.state, device.name, device.reason or "-")


def _object(found: Found) -> dict[str, object]:
    device = asdict(found.device)
    return {"host": found.host, **device, "speed": found.device.speed.name.lower()}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [tuple(head), *(tuple(clean_text(cell, _LONGEST) for cell in row) for row in rows)]
    widths = [max(width(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell + " " * (size - width(cell)) for cell, size in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    )
