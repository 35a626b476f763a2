"""`usbshare-bridge renew`: a new certificate now, instead of when it is due."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from usbshare.base.event_loop import run
from usbshare.bridge.commands.json_option import json_option, print_object
from usbshare.bridge.commands.notices import told_if_slow
from usbshare.bridge.commands.options import connection, connection_options
from usbshare.bridge.enrolment.automatic_renewal import renew as renew_bundle
from usbshare.trust import lifetime


@click.command()
@connection_options
@click.option(
    "--force",
    is_flag=True,
    help=("Ask even if the certificate is not due yet: granted only for a new authority."),
)
@json_option("Print JSON.")
@click.pass_context
def renew(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Renew this computer's certificate; a running bridge switches to it without a pause."""
    where, trust = connection(context, target, bundle, insecure)
    if trust is None:
        raise click.UsageError(
            "Plaintext ('--insecure') uses no certificate: there is nothing to renew."
        )
    due = lifetime.due_at(trust.certificate)
    is_due = force or datetime.now(UTC) >= due
    with told_if_slow(f"waiting for {where} to answer"):
        held = run(renew_bundle(where, trust)) if is_due else trust
    if as_json:
        print_object(
            {
                "renewed": is_due,
                "bundle": str(held.path),
                "certificate_end": held.expires.isoformat(),
                "renewal_time": lifetime.due_at(held.certificate).isoformat(),
            }
        )
    elif is_due:
        click.echo(f"renewed {held.path}: valid until {held.expires:%Y-%m-%d}")
    else:
        click.echo(
            f"{held.path} is valid until {held.expires:%Y-%m-%d}; a bridge renews it automatically "
            f"from {due:%Y-%m-%d} on"
        )
