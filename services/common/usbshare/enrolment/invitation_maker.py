"""Makes invitations: where a newcomer can reach this host, and whether a service answers there."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum, auto
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from usbshare.base.addresses import dns_form, parse_address, split_host_port, without_scope
from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.base.file_lock import is_locked
from usbshare.base.usual_ports import ENROLMENT_PORT, SERIAL_PORT
from usbshare.hosts.interfaces import interfaces_up
from usbshare.trust import certificates, invitations
from usbshare.trust.invitation import (
    TOKEN_BYTES,
    Invitation,
    token_hash,
)
from usbshare.trust.invitations import Given, invitations_path
from usbshare.trust.site import Site

MOST_ADDRESSES = 4
KNOCK_TIMEOUT_S = 5.0
# The listener is a process, which begins once there is an invitation. On a slow computer that takes
# its time; a remote inviter waits half a minute for the string.
ANSWER_S = 8.0
OPENING_S = 20.0
POLL_S = 0.1


class Answer(Enum):
    """Which program listens at the enrolment address."""

    OURS = auto()
    OPENING = auto()  # a service of this host starts its listener
    NOBODY = auto()
    ANOTHER = auto()


def invite(
    site: Site,
    name: str,
    role: str,
    addresses: Sequence[str],
    port: int,
    now: datetime,
    expires: datetime,
    service_port: int = SERIAL_PORT,
    given_by: str = "",
) -> Invitation:
    """Make an invitation and remember the hash of its token; role and name must be good.

    `given_by`: the identity that asks for it, empty for the host's own commands.
    """
    token = secrets.token_bytes(TOKEN_BYTES)
    key = authority_sha256(site)
    made = Invitation(name, role, tuple(addresses), port, token, key, expires, service_port)
    given = Given(token_hash(token), name, role, expires, given_by=given_by)
    invitations.add(invitations_path(site.folder), given, now)
    return made


def authority(site: Site) -> x509.Certificate:
    """Return the authority that signed this host's own certificate; ConfigError if none did."""
    try:
        own = x509.load_pem_x509_certificate(site.server_certificate.read_bytes())
        trusted = x509.load_pem_x509_certificates(site.ca_certificate.read_bytes())
    except ValueError as error:
        files = f"{site.server_certificate} or {site.ca_certificate}"
        raise ConfigError(f"{files} is not a certificate: restart the services") from error
    for each in trusted:
        if certificates.is_issued_by(own, each):
            return each
    raise ConfigError(
        f"{site.server_certificate} is signed by no authority in {site.ca_certificate}: restart "
        "the services, which renews it"
    )


def authority_sha256(site: Site) -> bytes:
    """Return the SHA-256 of that authority's public key."""
    return bytes.fromhex(certificates.fingerprint(authority(site).public_key()))


def own_addresses(listen: str, interfaces: Sequence[str] = ()) -> list[str]:
    """Return a few addresses for a listener, IPv4 first; loopback if there is nothing else.

    Link-local IPv6 only where there is nothing else, and without a scope: that is each computer's.
    """
    host, _ = split_host_port(listen, ENROLMENT_PORT)
    address = parse_address(host)
    if address is None or not address.is_unspecified:
        return [without_scope(host)]
    found = interfaces_up(interfaces)
    ipv4 = [each for interface in found for each in interface.ipv4]
    every_ipv6 = [each for interface in found for each in interface.ipv6]
    ipv6 = [each for each in every_ipv6 if "%" not in each]
    near = [without_scope(each) for each in every_ipv6 if "%" in each]
    return ([*ipv4, *ipv6] or near)[:MOST_ADDRESSES] or ["127.0.0.1"]


def checked_addresses(addresses: Sequence[str]) -> list[str]:
    """Return the addresses, without scopes; InvalidArgumentError if one is not an address."""
    for text in addresses:
        if not (dns_form(text) or parse_address(text)):
            raise InvalidArgumentError(f"{text!r} is neither a DNS name nor an IP address")
    return [dns_form(each) or without_scope(each) for each in addresses]


def uncertified(site: Site, addresses: Sequence[str]) -> list[str]:
    """Return the addresses that the host's certificate does not cover."""
    own = x509.load_pem_x509_certificate(site.server_certificate.read_bytes())
    dns, certified = certificates.subject_names(own)
    return [each for each in addresses if each.lower() not in dns | certified]


def listener_lock(site: Site) -> Path:
    """Return the file that is locked by the service that listens for newcomers, or is about to."""
    return site.home / ".enrolment.lock"


def wait_for_answer(
    site: Site,
    listen: str,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> Answer:
    """Return who answers, once it is a service of this host or the time is up; blocks."""
    begun = clock()
    while (answer := _who_answers(site, listen)) is not Answer.OURS:
        if clock() - begun >= (OPENING_S if answer is Answer.OPENING else ANSWER_S):
            break
        wait(POLL_S)
    return answer


def _who_answers(site: Site, listen: str) -> Answer:
    host, port = split_host_port(listen, ENROLMENT_PORT)
    address = parse_address(host)
    if address is not None and address.is_unspecified:
        host = "127.0.0.1"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection((host, port), KNOCK_TIMEOUT_S) as raw:
            return _who(raw, context, site)
    except OSError:
        return _opening_or(Answer.NOBODY, site)


def _who(raw: socket.socket, context: ssl.SSLContext, site: Site) -> Answer:
    try:
        with context.wrap_socket(raw) as connection:
            shown = connection.getpeercert(binary_form=True)
    except TimeoutError:
        return _opening_or(Answer.ANOTHER, site)
    except OSError:
        return Answer.ANOTHER
    own = x509.load_pem_x509_certificate(site.server_certificate.read_bytes())
    return Answer.OURS if shown == own.public_bytes(Encoding.DER) else Answer.ANOTHER


def _opening_or(otherwise: Answer, site: Site) -> Answer:
    return Answer.OPENING if is_locked(listener_lock(site)) else otherwise
