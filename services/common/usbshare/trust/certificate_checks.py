"""What a check-up says of a certificate's dates and of the rights on key files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509

from usbshare.base.checkup import Judgement, failure, fine, warning
from usbshare.base.paths import is_open_to_others
from usbshare.trust import lifetime

SET_CLOCK = "set the clock of this computer; if it is right, set that of the host"


def judge_dates(certificate: x509.Certificate, now: datetime, renew: str) -> Judgement:
    """Say how long the certificate still is valid; `renew` is how to get a new one.

    One that is due is fine, since it renews itself; one that should have done so long ago is not.
    """
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    left = f"valid until {end:%Y-%m-%d}, {(end - now).days} days left"
    match lifetime.age(certificate, now):
        case lifetime.Age.NOT_YET_VALID:
            clock = f"and the clock here says {now:%Y-%m-%d %H:%M}"
            return failure(f"valid only from {start:%Y-%m-%d %H:%M} UTC, {clock}", SET_CLOCK)
        case lifetime.Age.EXPIRED:
            return failure(f"expired on {end:%Y-%m-%d}, {(now - end).days} days ago", renew)
        case lifetime.Age.LATE:
            return warning(left, renew)
    return fine(left)


def judge_key_rights(keys: Iterable[Path]) -> Judgement:
    """Check whether only their owner can read the private keys."""
    there = [path for path in keys if path.exists()]
    if not there:
        return fine("no private key here yet")
    if others := [str(path) for path in there if is_open_to_others(path)]:
        names = " ".join(others)
        return warning(f"other users can read {', '.join(others)}", f"run `chmod 600 {names}`")
    return fine(f"only their owner can read {', '.join(path.name for path in there)}")
