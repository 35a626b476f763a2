"""When a certificate is due for renewal, and how near its end it is."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509

# Those that were issued at the same moment do not all come back at the same moment.
_JITTER = 0.05
_LATE = 5 / 6
# Clocks differ.
_SLACK = timedelta(days=1)


class Age(Enum):
    """How old a certificate is; DUE renews itself, LATE should have done so already."""

    NOT_YET_VALID = "not yet valid"
    FRESH = "fresh"
    DUE = "due"
    LATE = "late"
    EXPIRED = "expired"


def due_at(certificate: x509.Certificate) -> datetime:
    """Return when to renew: at two thirds of its life and up to 5 %, the same at every call."""
    return _after(certificate, 2 / 3 + _JITTER * _fraction(certificate))


def may_renew(start: datetime, end: datetime, now: datetime) -> bool:
    """Return whether the host renews a certificate now: a little before its holder asks for it."""
    slack = min(_SLACK, (end - start) / 50)
    return now >= start + (end - start) * (2 / 3) - slack


def late_at(certificate: x509.Certificate) -> datetime:
    """Return from when on it should have been renewed long ago."""
    return _after(certificate, _LATE)


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Return whether it is time to renew, or past it."""
    return now >= due_at(certificate)


def age(certificate: x509.Certificate, now: datetime) -> Age:
    """Return how old a certificate is."""
    if now < certificate.not_valid_before_utc:
        return Age.NOT_YET_VALID
    if now > certificate.not_valid_after_utc:
        return Age.EXPIRED
    if now >= late_at(certificate):
        return Age.LATE
    return Age.DUE if is_due(certificate, now) else Age.FRESH


def _after(certificate: x509.Certificate, part: float) -> datetime:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return start + (end - start) * part


def _fraction(certificate: x509.Certificate) -> float:
    """Return a number from 0 to 1 that is the certificate's own."""
    digest = hashlib.sha256(certificate.serial_number.to_bytes(20, "big")).digest()
    return int.from_bytes(digest[:4], "big") / 2**32
