"""`pki invite`: one string that lets one computer in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from usbshare.authorization.policy import POLICY_FILE, load_policy
from usbshare.base.addresses import split_host_port
from usbshare.base.errors import ConfigError
from usbshare.base.usual_ports import ENROLMENT_PORT, SERIAL_PORT
from usbshare.enrolment.invitation_maker import (
    ANSWER_S,
    POLL_S,
    Answer,
    authority,
    checked_addresses,
    own_addresses,
    uncertified,
    wait_for_answer,
)
from usbshare.enrolment.invitation_maker import invite as make_invitation
from usbshare.enrolment.membership import as_member, require_usable_name, rights_in_words, role_of
from usbshare.enrolment.qr_code import print_qr_code
from usbshare.service.cli import teller
from usbshare.service.commands.duration import Duration
from usbshare.service.commands.local_site import (
    PkiSettings,
    administrator,
    command_log,
    load_settings,
    made_site,
)
from usbshare.service.folders_in_time import Folders
from usbshare.trust import certificates
from usbshare.trust.identities import IdentityRecord, read_identities, registry_path
from usbshare.trust.invitation import Invitation, token_hash
from usbshare.trust.invitations import Given, invitations_path, read_invitations
from usbshare.trust.names import identity_uri
from usbshare.trust.site import Site

LONGEST = timedelta(days=7)


@click.command()
@click.option("--name", required=True, help="The new name of the computer, such as office-pc.")
@click.option(
    "--role", required=True, help="A group of the policy: admin, operator, viewer, or your own."
)
@click.option(
    "--expires",
    type=Duration(),
    default="10m",
    help=("How long the invitation is valid; at most 7d."),
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="HOST",
    help=(
        "The address where the computer reaches this host; by default this host's own "
        "addresses. Repeatable."
    ),
)
@click.option(
    "--wait",
    is_flag=True,
    help=("Wait until the invitation is used, and print the fingerprint of the key."),
)
@click.option("--no-qr", is_flag=True, help="Do not draw a QR code on the terminal.")
@click.option("--config", type=click.Path(path_type=Path), help="Configuration of the services.")
@click.pass_context
def invite(
    context: click.Context,
    name: str,
    role: str,
    expires: timedelta,
    addresses: Sequence[str],
    wait: bool,
    no_qr: bool,
    config: Path | None,
) -> None:
    """Print a string that lets one computer in, once: type `usbshare-bridge enroll STRING` there.

    The first computer that uses the string is let in: hand it over in a way that you trust. While
    an invitation is open, the services of this host listen for it at [tls] enrolment.
    """
    if expires > LONGEST:
        raise click.BadParameter("at most 7d", context, param_hint="'--expires'")
    tell = teller(str(context.obj))
    answered = Folders(tell).run
    settings = answered(lambda: load_settings(config))
    listen = settings.tls.enrolment
    if not listen:
        raise ConfigError('enrolment is switched off: [tls] enrolment = "" in the configuration')
    site = answered(lambda: made_site(settings.tls))
    group = answered(lambda: _checked_role(site, name, role, tell))
    where = checked_addresses(addresses) or own_addresses(
        listen, settings.discovery.chosen_interfaces
    )
    now = datetime.now(UTC)
    port = split_host_port(listen, ENROLMENT_PORT)[1]
    service_port = _service_port(context, settings)
    invitation = answered(
        lambda: make_invitation(site, name, group, where, port, now, now + expires, service_port)
    )
    answered(lambda: _note(site, invitation))
    # Anyone who has the string may use it, so it is printed once it works, if that is soon.
    answer = wait_for_answer(site, listen)
    click.echo(invitation.encode())
    if not no_qr:
        print_qr_code(invitation.encode())
    answered(lambda: _say_what_it_is(tell, site, invitation))
    _say_if_unreachable(tell, site, listen, where, answer)
    if wait and not wait_until_used(tell, site, invitation):
        context.exit(1)


def _service_port(context: click.Context, settings: PkiSettings) -> int:
    """Return where serial-svc is, as `serial-svc --listen`, USBSHARE_LISTEN or the file say."""
    root = context.find_root()
    said = root.params.get("listen") if str(context.obj) == "serial-svc" else None
    port = split_host_port(said or settings.service.listen, SERIAL_PORT)[1]
    return port or SERIAL_PORT


def _checked_role(site: Site, name: str, role: str, tell: Callable[[str], None]) -> str:
    policy = load_policy(site.folder / POLICY_FILE)
    require_usable_name(policy, name)
    record = read_identities(registry_path(site.folder)).get(identity_uri(site.id, name))
    if record is not None and not record.is_revoked:
        tell(
            f"{name} already exists: its certificate stays valid beside the new one, unless you "
            f"first revoke it with `pki revoke {name}`"
        )
    return role_of(policy, role)


def _note(site: Site, invitation: Invitation) -> None:
    with command_log() as log:
        log.note(
            "invited",
            who=administrator(),
            identity=identity_uri(site.id, invitation.name),
            role=invitation.role,
            expires=invitation.expires.isoformat(),
        )


def _say_what_it_is(tell: Callable[[str], None], site: Site, invitation: Invitation) -> None:
    uri = identity_uri(site.id, invitation.name)
    policy = load_policy(site.folder / POLICY_FILE)
    record = read_identities(registry_path(site.folder)).get(uri)
    former = record.role if record else ""
    member = as_member(policy, invitation.name, former, invitation.role)
    rights = rights_in_words(member, uri, site.id, datetime.now(UTC))
    end = invitation.expires.astimezone()
    tell(
        f"on {invitation.name}, before {end:%H:%M:%S}: "
        "usbshare-bridge enroll STRING (the line above)"
    )
    tell(
        f"it may then: {rights} ({invitation.role}); the first computer that uses the string "
        "is let in"
    )
    fingerprint = certificates.short_fingerprint(authority(site).public_key())
    tell(f"fingerprint of this host's authority, the same on both ends: {fingerprint}")


def _say_if_unreachable(
    tell: Callable[[str], None],
    site: Site,
    listen: str,
    addresses: Sequence[str],
    answer: Answer,
) -> None:
    for address in uncertified(site, addresses):
        tell(
            f"the host's certificate is not for {address}: add it to `[tls] names`, then "
            "restart the services"
        )
    if answer is Answer.NOBODY:
        tell(
            f"no service of this host answers at {listen}: start one (`make run-services`, or "
            "its unit); the string works from then on"
        )
    elif answer is Answer.OPENING:
        tell(
            f"a service of this host is still opening enrolment at {listen}: the string works "
            "from then on"
        )
    elif answer is Answer.ANOTHER:
        tell(f"another program listens at {listen}: end it, or choose another `[tls] enrolment`")


def wait_until_used(tell: Callable[[str], None], site: Site, invitation: Invitation) -> bool:
    """Return whether the invitation was used, once it has ended."""
    uri = identity_uri(site.id, invitation.name)
    former = read_identities(registry_path(site.folder)).get(uri)
    while (given := _state(site, invitation)) and given.is_open(datetime.now(UTC)):
        time.sleep(POLL_S)
    if given is None or given.used_at is None:
        tell("the invitation was not used: it is closed")
        return False
    record = _record_after(former, site, uri)
    fingerprint = record.fingerprint if record else "unknown"
    tell(f"{given.name} is enrolled, from {given.used_from}: fingerprint of its key {fingerprint}")
    tell("compare it with what that computer shows; if it differs, `pki revoke` the name at once")
    return True


def _record_after(former: IdentityRecord | None, site: Site, uri: str) -> IdentityRecord | None:
    """Return the identity's new record, which appears after its invitation is used."""
    end = time.monotonic() + ANSWER_S
    while (record := read_identities(registry_path(site.folder)).get(uri)) == former:
        if time.monotonic() >= end:
            break
        time.sleep(POLL_S)
    return record


def _state(site: Site, invitation: Invitation) -> Given | None:
    known = read_invitations(invitations_path(site.folder))
    digest = token_hash(invitation.token)
    return next((each for each in known if each.token_sha256 == digest), None)
