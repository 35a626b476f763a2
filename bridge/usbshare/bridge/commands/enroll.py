"""`usbshare-bridge enroll`: this computer is let in by an invitation."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from usbshare.base.errors import InvalidArgumentError
from usbshare.base.event_loop import run
from usbshare.base.paths import client_bundle_path
from usbshare.bridge.commands.json_option import json_option, print_object
from usbshare.bridge.commands.notices import told_if_slow, warn
from usbshare.bridge.commands.options import Wanted
from usbshare.bridge.enrolment.certificate_request import Enrolment, enrol, require_place
from usbshare.bridge.enrolment.first_steps import first_steps
from usbshare.bridge.enrolment.replacement import require_replaceable
from usbshare.trust.invitation import LONGEST_STRING, Invitation

STDIN = "-"


@click.command()
@click.argument("invitation", metavar="STRING")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    envvar="USBSHARE_BUNDLE",
    show_envvar=True,
    help=(
        "Where to write the key and the certificate; by default client.pem in the "
        "configuration folder."
    ),
)
@click.option(
    "--force", is_flag=True, help="Replace the certificate that is there, even if it is valid."
)
@json_option("Print JSON.")
@click.pass_context
def enroll(
    context: click.Context, invitation: str, bundle: Path | None, force: bool, as_json: bool
) -> None:
    """Enrol this computer with the STRING that `serial-svc pki invite` printed.

    '-' reads the string from stdin. Before anything is sent, the host must prove that it made the
    string. The private key is created here and never leaves this computer. After that,
    `usbshare-bridge` alone is enough.
    """
    wanted: Wanted = context.obj
    wanted.defaults.check()
    said = bundle or wanted.bundle
    path = said or wanted.defaults.bundle or client_bundle_path()
    decoded = _decoded(context, invitation)
    require_place(path)
    if not force and (why := require_replaceable(path, decoded)):
        warn(f"the certificate at {path} is replaced: {why}")
    with told_if_slow("waiting for the host that invited this computer to answer"):
        done = run(enrol(decoded, path))
    if not as_json:
        _tell(done)
    steps = run(first_steps(done, wanted.defaults, path if said else None))
    if as_json:
        print_object({**_fields(done), "next": [_plain(line) for line in steps.lines]})
    else:
        for line in steps.lines:
            click.echo(line)
    if steps.trouble:
        warn(steps.trouble)


def _decoded(context: click.Context, text: str) -> Invitation:
    if text == STDIN:
        text = sys.stdin.read(LONGEST_STRING + 1)
    try:
        return Invitation.decode(text)
    except InvalidArgumentError as error:
        raise click.BadParameter(str(error), context, param_hint="STRING") from error


def _plain(line: str) -> str:
    return line.removeprefix("next ").strip()


def _fields(done: Enrolment) -> dict[str, object]:
    return {
        "identity": done.identity,
        "role": done.role,
        "fingerprint": done.fingerprint,
        "authority_fingerprint": done.authority_fingerprint,
        "bundle": str(done.path),
        "certificate_end": done.expires.isoformat(),
        "target": str(done.target),
    }


def _tell(done: Enrolment) -> None:
    click.echo(f"this computer is {done.identity}")
    click.echo(f"it may         {done.role}")
    click.echo(f"its key        {done.fingerprint} (fingerprint; the host shows the same)")
    click.echo(
        f"the host's CA  {done.authority_fingerprint} (fingerprint; the host shows the same)"
    )
    click.echo(f"certificate    {done.path}, valid until {done.expires:%Y-%m-%d}, renews itself")
