"""The `pki` commands of a service: invitations, identities, revocation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click

from usbshare.authorization.policy import POLICY_FILE, load_policy
from usbshare.authorization.second_factor import FILE_NAME, SecondFactors
from usbshare.base.errors import ConfigError
from usbshare.base.paths import config_folder, state_folder
from usbshare.enrolment.identity_report import as_table, roll_call
from usbshare.enrolment.qr_code import print_qr_code
from usbshare.enrolment.revocation import shut_out
from usbshare.service.cli import CONTEXT, teller
from usbshare.service.command_group import CommandGroup
from usbshare.service.commands.duration import Duration
from usbshare.service.commands.local_site import (
    administrator,
    command_log,
    known_identity,
    known_site,
    revocable_identity,
)
from usbshare.service.commands.pki_invite import invite
from usbshare.service.folders_in_time import FoldersCommand
from usbshare.trust.authority_rollover import DEFAULT_OVERLAP, finish, roll
from usbshare.trust.identities import short_name
from usbshare.trust.names import identity_uri


def pki_group(service: str) -> click.Group:
    """Return the group for the command line of a service."""
    settings = {**CONTEXT, "obj": service}
    text = "Invite computers, list identities, revoke them."
    group = CommandGroup("pki", help=text, context_settings=settings)
    for command in (invite, list_command, revoke, totp, roll_command, policy):
        group.add_command(command)
    return group


@click.command("list", cls=FoldersCommand)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(as_json: bool) -> None:
    """Show identities: their rights, when they were last seen, when their certificates expire."""
    site = known_site()
    entries = roll_call(site.folder, state_folder(), site.id, datetime.now(UTC))
    if as_json:
        found = [asdict(each) for each in entries]
        click.echo(json.dumps(found, indent=1, default=_iso, ensure_ascii=False))
    else:
        click.echo(as_table(entries))


@click.command(cls=FoldersCommand)
@click.argument("name")
@click.option(
    "--reason", default="", metavar="TEXT", help=("Reason, for the list and the audit log.")
)
@click.pass_context
def revoke(context: click.Context, name: str, reason: str) -> None:
    """End an identity's streams within a second, and refuse it from then on.

    A later invitation lets the name in again, with a new certificate.
    """
    tell, site = teller(str(context.obj)), known_site()
    uri = revocable_identity(site, name)
    if uri == site.host_uri:
        raise ConfigError(
            "the services of this host share the identity 'host': to replace its key, stop "
            f"them, remove {site.host_bundle}, and start them again"
        )
    done = shut_out(site.folder, uri, reason, datetime.now(UTC))
    with command_log() as log:
        log.note("revoked", who=administrator(), identity=uri, reason=reason)
        for each in sorted({*done.withdrawn} - {short_name(uri)}):
            given = identity_uri(site.id, each)
            log.note("invitation withdrawn", who=administrator(), identity=given)
    tell(f"{short_name(uri)} is revoked: its streams end within a second, and it is refused")
    if short_name(uri) in done.withdrawn:
        tell("the invitation for that name is no longer valid")
    if others := sorted({*done.withdrawn} - {short_name(uri)}):
        tell(f"the invitations that it made are no longer valid: {', '.join(others)}")
    if uri == site.operator_uri:
        tell(f"to get a new one remove {site.client_bundle}, then restart the services")
    if uri == site.job_uri:
        tell(f"no job starts any more; to undo that remove {site.job_bundle}, then restart job-svc")
    if done.trouble:
        tell(f"it is unknown whether an invitation is open for that name: {done.trouble}")
        tell("fix that, then revoke again: an open invitation would let the name in again")
        context.exit(1)


@click.command(cls=FoldersCommand)
@click.argument("name")
@click.option("--replace", is_flag=True, help=("Create a new one; the old one is no longer valid."))
@click.option("--unlock", is_flag=True, help="Accept codes again after too many wrong ones.")
@click.option("--no-qr", is_flag=True, help="Do not draw a QR code on the terminal.")
@click.pass_context
def totp(context: click.Context, name: str, replace: bool, unlock: bool, no_qr: bool) -> None:
    """Create an identity's second factor for any authenticator app, and print its otpauth URI.

    Grants with confirm = "totp" in the policy ask for its codes.
    """
    site = known_site()
    uri = known_identity(site, name)
    factors = SecondFactors(site.home / FILE_NAME, time.monotonic)
    if unlock:
        _unlock(teller(str(context.obj)), factors, uri)
        return
    if factors.has(uri) and not replace:
        raise ConfigError(
            f"{name} already has a second factor: --replace creates a new one in its place"
        )
    address = factors.make(uri)
    with command_log() as log:
        log.note("second factor made", who=administrator(), identity=uri)
    click.echo(address)
    if not no_qr:
        print_qr_code(address)
    teller(str(context.obj))("let the app read it now: it is not shown again")


def _unlock(tell: Callable[[str], None], factors: SecondFactors, uri: str) -> None:
    name = short_name(uri)
    if not factors.unlock(uri):
        tell(f"{name} has entered no wrong codes, or has no second factor")
        return
    with command_log() as log:
        log.note("second factor unlocked", who=administrator(), identity=uri)
    tell(f"{name} may enter codes again")


@click.command("roll", cls=FoldersCommand)
@click.option(
    "--overlap",
    type=Duration(),
    default=f"{DEFAULT_OVERLAP.days}d",
    help="How long the old authority stays trusted beside the new one.",
)
@click.option("--finish", "is_end", is_flag=True, help="End the overlap now.")
@click.pass_context
def roll_command(context: click.Context, overlap: timedelta, is_end: bool) -> None:
    """Roll over to a new authority; clients get its certificates when they renew theirs."""
    site = known_site()
    done = finish(site.folder) if is_end else roll(site.folder, overlap)
    with command_log() as log:
        log.note(
            "authority rolled over" if is_end else "authority rolling over",
            who=administrator(),
            old=done.old_fingerprint,
            new=done.new_fingerprint,
            until=done.overlap_end.isoformat(),
        )
    tell = teller(str(context.obj))
    if is_end:
        tell(
            "the old authority is no longer trusted: identities that did not renew must be "
            "invited again"
        )
    else:
        end = f"{done.overlap_end:%Y-%m-%d}"
        tell(f"a new authority signs from now on; the old one is trusted until {end}")


@click.command(cls=FoldersCommand)
def policy() -> None:
    """Print where the policy is, and whether it is correct."""
    path = config_folder() / POLICY_FILE
    found = load_policy(path)
    state = "correct" if path.exists() else "no such file: the default policy applies"
    click.echo(f"{path}: {state if found.grants else 'correct, but it grants no rights'}")
    if not found.grants:
        teller("pki")("it has no [[grants]]: a policy grants only what it lists")


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
