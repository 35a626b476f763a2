"""Both ends of an enrolment in one process: a host and its invitations, a PC's request."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from fakes.certificates import make_site
from fakes.noted import Noted
from usbshare.enrolment.enroller import Enroller
from usbshare.enrolment.failed_attempts import FailedAttempts
from usbshare.enrolment.invitation_maker import invite
from usbshare.trust import certificates
from usbshare.trust.invitation import Invitation
from usbshare.trust.signing_requests import new_request
from usbshare.trust.site import Site

TEN_MINUTES = timedelta(minutes=10)

__all__ = ["TEN_MINUTES", "Noted", "enroller_of", "invited", "make_site", "request_pem", "utc_now"]


def utc_now() -> datetime:
    return datetime.now(UTC)


def enroller_of(site: Site, audit: Noted | None = None, now: datetime | None = None) -> Enroller:
    clock = utc_now if now is None else lambda: now
    return Enroller(site, audit or Noted(), FailedAttempts(time.monotonic), clock)


def invited(
    site: Site,
    name: str = "office-pc",
    role: str = "operators",
    port: int = 50054,
    lasting: timedelta = TEN_MINUTES,
    given_by: str = "",
) -> Invitation:
    now = utc_now()
    end = now + lasting
    return invite(site, name, role, ["127.0.0.1"], port, now, end, given_by=given_by)


def request_pem() -> str:
    return new_request(certificates.new_key(), "office-pc")
