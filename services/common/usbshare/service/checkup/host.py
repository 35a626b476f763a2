"""Whether this host can serve: its certificates, its rules and its listen address."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509

from usbshare.authorization.policy import POLICY_FILE, read_policy
from usbshare.authorization.rulebook import CLOSES_AFTER_S
from usbshare.base.addresses import parse_address, split_host_port
from usbshare.base.checkup import Judgement, Verdict, failure, failure_of, fine, warning
from usbshare.base.errors import ConfigError, UnreadableError
from usbshare.handshakes.probe import Finding, probe
from usbshare.rpc.channel import DEFAULT_PORT, Target
from usbshare.rpc.server import require_free
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import certificates
from usbshare.trust.authorities import OVERLAP_FILE, read_overlap_end
from usbshare.trust.certificate_checks import judge_dates
from usbshare.trust.identities import read_identities, registry_path
from usbshare.trust.site import Site

_PROBE_S = 5.0
_RESTART = "restart the service, which renews it; its log says why it did not do so before"
_ROLL = "create a new one beside it: `serial-svc pki roll`"
_NEW_SITE = "restore ca.key and ca.crt from a backup; without one: docs/operations.md, Certificates"
_UNREADABLE = (
    f"make it a regular file that the services can read: after {CLOSES_AFTER_S:.0f} s without "
    "it they allow only stops"
)
_MISTAKE = "fix it: the services keep using the previous policy, and will not start with this one"
_COPIED = "its file was copied: run `serial-svc pki revoke NAME`, then invite that computer again"
_NONE_YET = fine("none yet: the first start of serial-svc creates it")


def judge_authority(site: Site, now: datetime) -> Judgement:
    """Check whether the site's authority is there and valid."""
    found = _read(site.ca_certificate)
    if isinstance(found, Judgement):
        return found
    if not site.ca_certificate.with_name("ca.key").exists():
        return failure(f"{site.ca_certificate} exists, but its key does not", _NEW_SITE)
    dates = judge_dates(found[0], now, _ROLL if found[0].not_valid_after_utc > now else _NEW_SITE)
    if dates.verdict is Verdict.OK and len(found) > 1:
        return fine(f"{dates.measured}; the previous one is still trusted{_overlap(site)}")
    return dates


def judge_host_certificate(site: Site, names: Iterable[str], now: datetime) -> Judgement:
    """Check whether the host's certificate is valid, of the site, and for all names of the host."""
    found, authority = _read(site.server_certificate), _read(site.ca_certificate)
    if isinstance(found, Judgement):
        return found
    if isinstance(authority, Judgement):
        return authority
    if not _is_of(authority, found[0]):
        return failure(f"{site.server_certificate} belongs to another site", _RESTART)
    dates = judge_dates(found[0], now, _RESTART)
    if dates.verdict is not Verdict.OK:
        return dates
    dns, addresses = certificates.subject_names(found[0])
    if missing := sorted(set(names) - dns - addresses):
        return warning(f"{dates.measured}; not for {', '.join(missing)}", _RESTART)
    return dates


def judge_own_bundle(path: Path, site: Site, now: datetime) -> Judgement:
    """Check whether a bundle that the host made for a client is there, valid, and of the site."""
    found, authority = _read(path), _read(site.ca_certificate)
    if isinstance(found, Judgement):
        return found
    if not isinstance(authority, Judgement) and not _is_of(authority, found[0]):
        return warning(f"{path} belongs to another site", "remove it and restart the service")
    return judge_dates(found[0], now, _RESTART)


def judge_rules(folder: Path) -> Judgement:
    """Check whether a folder's policy and registry can be read. Blocks for the disk."""
    try:
        _, found = read_policy(folder / POLICY_FILE)
        records = read_identities(registry_path(folder)).values()
    except UnreadableError as error:
        return failure(str(error), _UNREADABLE)
    except ConfigError as error:
        return failure(str(error), _MISTAKE)
    if alarmed := [each for each in records if each.alarm_at is not None and not each.is_revoked]:
        names = ", ".join(f"{each.name} (from {each.alarm_from})" for each in alarmed)
        return warning(f"ALARM: superseded certificates were used: {names}", _COPIED)
    revoked = sum(each.is_revoked for each in records)
    what = f"{folder / POLICY_FILE} is correct" if found is not None else "the default policy"
    return fine(f"{what}; {len(records)} identities, {revoked} revoked")


def judge_address(listen: str, bundle_path: Path) -> Judgement:
    """Check whether the address is free, or the service that has it is ours."""
    host, port = split_host_port(listen, DEFAULT_PORT)
    try:
        require_free(host, port)
    except ConfigError as error:
        who = _who_answers(Target(own_address(host), port), bundle_path)
        return fine(f"{listen}: {who}") if who else failure_of(error)
    return fine(f"{listen} is free: no service is running there now")


def own_address(host: str) -> str:
    """Return the address at which this computer reaches a listener there."""
    address = parse_address(host)
    return "127.0.0.1" if address is not None and address.is_unspecified else host


def _who_answers(target: Target, bundle_path: Path) -> str:
    """Return which usbshare service answers, empty if none does."""
    try:
        finding = probe(target, ClientBundle.load(bundle_path), _PROBE_S).finding
    except ConfigError:
        finding = probe(target, None, _PROBE_S).finding
    texts = {
        Finding.ANSWERS: "the service is running and answers",
        Finding.PLAINTEXT_THERE: "a service is running there with --insecure",
        Finding.TLS_THERE: "a service with TLS is running there",
    }
    return texts.get(finding, "")


def _is_of(authorities: Iterable[x509.Certificate], certificate: x509.Certificate) -> bool:
    return any(certificates.is_issued_by(certificate, each) for each in authorities)


def _overlap(site: Site) -> str:
    try:
        end = read_overlap_end(site.home / OVERLAP_FILE)
    except (OSError, ConfigError):
        return ""
    return f" until {end:%Y-%m-%d}"


def _read(path: Path) -> list[x509.Certificate] | Judgement:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except FileNotFoundError:
        return _NONE_YET
    except PermissionError:
        return warning(f"this user cannot read {path}", "run the doctor as the service's user")
    except (ValueError, OSError) as error:
        return failure(f"{path} is not a certificate ({error})", _NEW_SITE)
