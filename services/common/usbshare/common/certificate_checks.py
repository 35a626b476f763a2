"""What a check-up says of a certificate's dates and of the rights on key files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509

from usbshare.common import certificates
from usbshare.common.checkup import Judgement, failure, fine, warning
from usbshare.common.paths import is_open_to_others

SET_CLOCK = "set the clock of this computer; if it is right, set that of the host"


def judge_dates(certificate: x509.Certificate, now: datetime, renew: str) -> Judgement:
    """Say how long the certificate still is valid; `renew` is how to get a new one."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < start:
        return failure(f"valid only from {start:%Y-%m-%d %H:%M} UTC", SET_CLOCK)
    if now > end:
        days = (now - end).days
        return failure(f"expired on {end:%Y-%m-%d}, {days} days ago", renew)
    left = f"valid until {end:%Y-%m-%d}, {(end - now).days} days left"
    return warning(left, renew) if certificates.is_due(certificate, now) else fine(left)


def judge_key_rights(keys: Iterable[Path]) -> Judgement:
    """Say whether anybody but their owner may read the private keys."""
    there = [path for path in keys if path.exists()]
    if not there:
        return fine("no private key here yet")
    if others := [str(path) for path in there if is_open_to_others(path)]:
        names = " ".join(others)
        return warning(f"others may read {', '.join(others)}", f"run `chmod 600 {names}`")
    return fine(f"only their owner may read {', '.join(path.name for path in there)}")
