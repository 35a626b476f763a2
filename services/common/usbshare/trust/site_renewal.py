"""Keeps a site's certificates current while a service runs, and renews those of its clients."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography import x509

from usbshare.base.errors import ConfigError, LimitError, PermissionDeniedError, UsbshareError
from usbshare.base.host_names import host_names
from usbshare.base.plain_file import read_plain
from usbshare.base.threads import in_thread
from usbshare.trust import authorities, certificates, identities, issuance, lifetime, successors
from usbshare.trust.site import Site, ensure_site

_log = logging.getLogger(__name__)

INTERVAL_S = 3600.0
# An hour, but a command line that changes the authority is followed at once.
LOOK_S = 5.0
AUTHORITY_WARNING = timedelta(days=180)
REMIND_S = 86_400.0
_TOO_OLD = frozenset({lifetime.Age.LATE, lifetime.Age.EXPIRED})
_WORKED_WITH = {
    "host": "this host",
    "services": "the services of this host among themselves",
    "jobs": "the job service of this host",
}
_UNKNOWN = "run `serial-svc doctor`"


class Caller(Protocol):
    """Who asks for a new certificate, and by which."""

    @property
    def name(self) -> str:
        """Its identity's URI."""
        ...

    @property
    def address(self) -> str:
        """Where it is."""
        ...

    @property
    def issued(self) -> datetime | None:
        """When its certificate was made."""
        ...

    @property
    def expires(self) -> datetime | None:
        """When that ends."""
        ...

    @property
    def serial(self) -> int:
        """Its serial number."""
        ...


@dataclass(frozen=True, slots=True)
class Renewed:
    """A new certificate and every authority to trust, PEM; what distinguishes it from others."""

    certificate_pem: str
    authorities_pem: str
    serial: int
    fingerprint: str
    expires: datetime


def renew(site: Site, caller: Caller, csr_pem: str, now: datetime | None = None) -> Renewed:
    """Return a new certificate for the caller's identity, if its own is due.

    InvalidArgumentError says what is wrong with the request, PermissionDeniedError why there is
    none now. Blocks for the files of the site.
    """
    now = now or datetime.now(UTC)
    if not caller.name.startswith(f"usbshare://{site.id}/"):
        raise PermissionDeniedError(f"{caller.name!r} has no certificate of this site to renew")
    if caller.name in {site.host_uri, site.job_uri}:
        raise PermissionDeniedError(
            "the services of this host renew their own certificates from its files"
        )
    registry, trusted = identities.registry_path(site.folder), _authorities(site, now)
    _require_due(caller, trusted, now)
    _require_not_renewed(registry, caller)
    issued = issuance.issue_for(site, caller.name, csr_pem, now, site.life)
    record = identities.note_issued(
        registry, caller.name, issued, address=caller.address, succeeds=caller.serial
    )
    _log.info("renewed %s at %s, until %s", caller.name, caller.address, _end(issued).date())
    return Renewed(
        certificates.certificate_pem(issued).decode("ascii"),
        trusted.pem.decode("ascii"),
        issued.serial_number,
        record.fingerprint,
        _end(issued),
    )


def _authorities(site: Site, now: datetime) -> authorities.Authorities:
    return authorities.load_authorities(site.home, now)


def _require_due(caller: Caller, trusted: authorities.Authorities, now: datetime) -> None:
    """Raise PermissionDeniedError unless it is time: else a stolen key would never end."""
    if caller.issued is None or caller.expires is None:
        raise PermissionDeniedError("this caller presented no certificate to renew")
    rolled_at = certificates.issue_moment(trusted.clients.certificate)
    if trusted.is_rolling and caller.issued <= rolled_at:
        return  # it is to get one of the new authority
    start = caller.issued - certificates.BACKDATE
    if not lifetime.may_renew(start, caller.expires, now):
        raise PermissionDeniedError(
            f"the certificate is not due for renewal: it is valid until {caller.expires:%Y-%m-%d}, "
            "and is renewed in the last third of its life"
        )


def _require_not_renewed(registry: Path, caller: Caller) -> None:
    record = identities.read_identities(registry).get(caller.name)
    renewals, serial = record.renewals if record else (), successors.in_hex(caller.serial)
    if used := successors.successor_in_use(renewals, serial):
        raise PermissionDeniedError(
            "the certificate was already renewed, and its successor has been in use since "
            f"{used.used_at:%Y-%m-%d %H:%M} UTC: use that one; if this computer does not have "
            "it, its file was copied: tell the host's operator"
        )
    if successors.unused_successors(renewals, serial) >= successors.MOST_UNUSED:
        raise LimitError(
            f"the certificate was renewed {successors.MOST_UNUSED} times, but its successors "
            "were never used: have this computer invited again"
        )


async def keep_current(
    site: Site,
    names: Iterable[str] = (),
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Renew what is due of the site's own certificates, on the spot, until cancelled.

    `names` are those of `[tls]`. That a renewal fails ends nothing: it is logged, and tried again.
    """
    keeper = _Keeper(site, tuple(names), clock, now)
    while True:
        try:
            await in_thread(keeper.look)
        except Exception:  # a job may be running here
            _log.exception("cannot keep the certificates of this host current")
        await asyncio.sleep(LOOK_S)


class _Keeper:
    """Looks after the files of one site, whole once an hour and whenever its authority changed."""

    def __init__(
        self,
        site: Site,
        names: tuple[str, ...],
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self.site = site
        self._names = names
        self._clock = clock
        self._now = now
        self._stamps: tuple[tuple[int, int], ...] | None = None
        self._next_at = clock() + _interval_s()
        self._reminded_at: float | None = None
        self._told_late_at: float | None = None
        self._trouble = ""
        self._due_at: datetime | None = None
        self._looked_at: datetime | None = None

    def look(self) -> None:
        """Look whether anything is to be done, and do it; blocks."""
        stamps, now = _stamps(self.site), self._now()
        is_due = self._is_due(now)
        if stamps == self._stamps and self._clock() < self._next_at and not is_due:
            return
        self._stamps, self._next_at = stamps, self._clock() + _interval_s()
        try:
            self.site = ensure_site(self.site.folder, host_names(self._names), now, self.site.life)
            self._remind(now)
            self._due_at = _next_due(self.site, now)
            self._trouble = ""
        except (UsbshareError, OSError, ValueError) as error:
            self._due_at = now + timedelta(seconds=INTERVAL_S)
            self._tell(str(error))
        self._remind_of_late(now)

    def _is_due(self, now: datetime) -> bool:
        """Return whether a certificate is, or the clock was set back since the last look."""
        looked_at, self._looked_at = self._looked_at, now
        was_set_back = looked_at is not None and now < looked_at
        return was_set_back or self._due_at is None or now >= self._due_at

    def _remind_of_late(self, now: datetime) -> None:
        """Warn once a day of those that should have been renewed long ago: soon they end."""
        if self._told_late_at is not None and self._clock() - self._told_late_at < REMIND_S:
            return
        own = own_certificates(self.site)
        for name, whose in _WORKED_WITH.items():
            if name in own and lifetime.age(own[name], now) in _TOO_OLD:
                self._told_late_at = self._clock()
                _log.error(
                    "the certificate of %s cannot be renewed; clients are refused after %s: %s",
                    *(whose, _end(own[name]).date(), self._trouble or _UNKNOWN),
                )

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.error("cannot keep the certificates of this host current: %s", trouble)

    def _remind(self, now: datetime) -> None:
        """Warn once a day of an authority near its end, which is not renewed automatically."""
        if self._reminded_at is not None and self._clock() - self._reminded_at < REMIND_S:
            return
        end = _end(authorities.load_authorities(self.site.home, now).clients.certificate)
        if end - now < AUTHORITY_WARNING:
            self._reminded_at = self._clock()
            _log.warning(
                "the site's authority expires on %s, and every certificate with it: replace it "
                "with `serial-svc pki roll`",
                end.date(),
            )


def own_certificates(site: Site) -> dict[str, x509.Certificate]:
    """Return the certificates that this host keeps, by what they are; what is bad is left out."""
    paths = {
        "authority": site.ca_certificate,
        "host": site.server_certificate,
        "operator": site.client_bundle,
        "services": site.host_bundle,
        "jobs": site.job_bundle,
    }
    found = {}
    for name, path in paths.items():
        try:
            found[name] = x509.load_pem_x509_certificates(read_plain(path))[0]
        except (OSError, ValueError, IndexError):
            continue
    return found


def serving_fingerprint(site: Site) -> str:
    """Return the fingerprint of the authority of the host's certificate as it is now."""
    server = x509.load_pem_x509_certificate(read_plain(site.server_certificate))
    trusted = x509.load_pem_x509_certificates(read_plain(site.ca_certificate))
    issuers = (each for each in trusted if certificates.is_issued_by(server, each))
    return next((certificates.fingerprint(each.public_key()) for each in issuers), "")


def _next_due(site: Site, now: datetime) -> datetime:
    """Return when the next of them is due; a clock that is wrong is looked at again soon."""
    own = own_certificates(site)
    if any(now < each.not_valid_before_utc for each in own.values()):
        return now + timedelta(minutes=1)
    dues = [lifetime.due_at(each) for name, each in own.items() if name != "authority"]
    with suppress(OSError, ConfigError):
        dues.append(authorities.read_overlap_end(site.home / authorities.OVERLAP_FILE))
    # One that is due still is not ours to renew: a revoked operator's, another site's.
    return min((due for due in dues if due > now), default=now + timedelta(days=1))


def _interval_s() -> float:
    return INTERVAL_S * random.uniform(0.9, 1.1)  # noqa: S311 - it spreads load, it hides nothing


def _stamps(site: Site) -> tuple[tuple[int, int], ...]:
    """Return what changes if the authority is replaced or a file removed."""
    paths = (site.ca_certificate, site.home / authorities.OVERLAP_FILE, site.server_certificate)
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)


def _end(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc
