"""Checks of the way to the host: TCP, TLS and which side refused, and the two clocks."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from usbshare.base.checkup import Judgement, failure, failure_of, fine, warning
from usbshare.base.threads import in_thread
from usbshare.bridge.checkup.context import Subject
from usbshare.handshakes.probe import Finding, Probe, probe
from usbshare.handshakes.unreachable import explain, why_unreachable
from usbshare.trust.certificate_checks import SET_CLOCK

TLS = "TLS handshake"
_CONNECT_S = 5.0
_MOST_SKEW_S = 5.0
_REFUSED_BY = {Finding.SERVER_UNTRUSTED: "this side", Finding.CLIENT_UNTRUSTED: "the host"}
_EXPIRED, _NOT_YET_VALID = 10, 9  # X509_V_ERR_… of OpenSSL


async def judge_tcp(subject: Subject) -> Judgement:
    """Check whether a TCP connection can be made, and how long that takes."""
    target = subject.where
    start = time.perf_counter()
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(target.host, target.port)
    except OSError as error:  # a timeout is one
        return failure_of(await why_unreachable(target, None, _CONNECT_S) or str(error))
    took_ms = (time.perf_counter() - start) * 1e3
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return fine(f"{target} accepted the connection within {took_ms:.1f} ms")


async def judge_tls(subject: Subject) -> Judgement:
    """Check whether both sides accept each other, else which of them does not, and why."""
    target, bundle = subject.where, subject.bundle
    start = time.perf_counter()
    subject.probe = found = await in_thread(probe, target, bundle, _CONNECT_S)
    took_ms = (time.perf_counter() - start) * 1e3
    if (why := explain(found, target, bundle)) is None:
        what = (
            f"{found.detail}, both sides accept each other" if bundle else "plaintext, as requested"
        )
        return fine(f"{what}, within {took_ms:.1f} ms")
    judgement = failure_of(why)
    if (dates := _dates_by_our_clock(found)) and found.verify_code == _NOT_YET_VALID:
        return failure(f"refused by this side: {dates}", SET_CLOCK)
    if dates:
        return failure(f"refused by this side: {dates}", judgement.remedy)
    if (side := _REFUSED_BY.get(found.finding)) is None:
        return judgement
    return failure(f"refused by {side}: {judgement.measured}", judgement.remedy)


async def judge_clocks(subject: Subject) -> Judgement:
    """Say how far the two clocks are apart."""
    await subject.service.clock()  # the first call makes the connection
    theirs, took_s = await subject.service.clock()
    return judge_skew(theirs - datetime.now(UTC) + timedelta(seconds=took_s / 2))


def judge_skew(ahead: timedelta) -> Judgement:
    """Say what it means that the host's clock is ahead by so much."""
    seconds = ahead.total_seconds()
    which = "ahead of" if seconds >= 0 else "behind"
    measured = f"the host's clock is {_duration(abs(seconds))} {which} this computer's"
    if abs(seconds) <= _MOST_SKEW_S:
        return fine(measured)
    return warning(
        measured,
        "have both computers set their clocks over the network (`timedatectl set-ntp true`); "
        "certificates fail if a clock is off by a day or more",
    )


def _dates_by_our_clock(found: Probe) -> str:
    """Return what is wrong with the dates of the host's certificate by our clock, or ""."""
    now, shown = datetime.now(UTC), found.certificate
    if shown is None or found.verify_code not in (_NOT_YET_VALID, _EXPIRED):
        return ""
    if found.verify_code == _NOT_YET_VALID:
        early = shown.not_valid_before_utc - now
        measured = f"the host's certificate begins {_duration(early.total_seconds())} after now"
    else:
        late = now - shown.not_valid_after_utc
        measured = f"the host's certificate ended {_duration(late.total_seconds())} before now"
    return f"{measured}, which here is {now:%Y-%m-%d %H:%M} UTC"


def _duration(seconds: float) -> str:
    """Return it in the unit in which a person would say it."""
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
