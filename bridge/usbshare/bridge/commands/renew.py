"""`usbshare-bridge renew`: a new certificate now, instead of when it is due."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from usbshare.bridge.options import connection, connection_options
from usbshare.bridge.renewing import renew as renew_bundle
from usbshare.common.loop import run
from usbshare.common.pki import lifetime


@click.command()
@connection_options
@click.option(
    "--force", is_flag=True, help="Ask also if it is not due yet: granted only for a new authority."
)
@click.pass_context
def renew(
    context: click.Context, target: str | None, bundle: Path | None, insecure: bool, force: bool
) -> None:
    """Renew this computer's certificate; a bridge that runs takes it over without a pause."""
    where, trust = connection(context, target, bundle, insecure)
    if trust is None:
        raise click.UsageError("Over plaintext ('--insecure') there is no certificate to renew.")
    due = lifetime.due_at(trust.certificate)
    if not force and datetime.now(UTC) < due:
        click.echo(
            f"{trust.path} is valid until {trust.expires:%Y-%m-%d}; a bridge renews it by itself "
            f"from {due:%Y-%m-%d} on"
        )
        return
    renewed = run(renew_bundle(where, trust))
    click.echo(f"renewed {renewed.path}: valid until {renewed.expires:%Y-%m-%d}")
