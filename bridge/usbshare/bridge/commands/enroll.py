"""`usbshare-bridge enroll`: this computer is let in by an invitation."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from usbshare.bridge.enrolling import Enrolment, enrol, require_place
from usbshare.bridge.options import Wanted
from usbshare.common.errors import InvalidArgumentError
from usbshare.common.loop import run
from usbshare.common.paths import client_bundle_path
from usbshare.common.pki.invitation import LONGEST_STRING, Invitation

STDIN = "-"


@click.command()
@click.argument("invitation", metavar="STRING")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    envvar="USBSHARE_BUNDLE",
    show_envvar=True,
    help="Where the key and the certificate go; by default client.pem in the configuration folder.",
)
@click.option("--force", is_flag=True, help="Replace the certificate that is there.")
@click.pass_context
def enroll(context: click.Context, invitation: str, bundle: Path | None, force: bool) -> None:
    """Get this computer its certificate, for the STRING that `serial-svc pki invite` printed.

    '-' reads the string from stdin. The host must prove that it is the one that made it before
    anything is sent there; the private key is made here and never leaves this computer.
    """
    wanted: Wanted = context.obj
    place = bundle or wanted.bundle or wanted.defaults.bundle
    path = place or client_bundle_path()
    decoded = _decoded(context, invitation)
    require_place(path, force=force)
    done = run(enrol(decoded, path))
    _tell(done, is_usual=place is None)


def _decoded(context: click.Context, text: str) -> Invitation:
    if text == STDIN:
        text = sys.stdin.read(LONGEST_STRING + 1)
    try:
        return Invitation.decode(text)
    except InvalidArgumentError as error:
        raise click.BadParameter(str(error), context, param_hint="STRING") from error


def _tell(done: Enrolment, *, is_usual: bool) -> None:
    option = "" if is_usual else f" --bundle {done.path}"
    click.echo(f"this computer is {done.identity}")
    click.echo(f"it may         {done.role}")
    click.echo(f"its key        {done.fingerprint} (fingerprint; the host shows the same)")
    click.echo(
        f"the host's CA  {done.authority_fingerprint} (fingerprint; the host shows the same)"
    )
    click.echo(f"certificate    {done.path}, valid until {done.expires:%Y-%m-%d}, renews itself")
    click.echo(f"next           usbshare-bridge list{option} --target {done.target.host}")
