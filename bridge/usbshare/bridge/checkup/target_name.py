"""Check of the target's name: what it comes to, and by which way."""

from __future__ import annotations

import asyncio
import socket

from usbshare.base.addresses import parse_address, split_host_port
from usbshare.base.checkup import Judgement, failure, fine, skipped, warning
from usbshare.base.errors import InvalidArgumentError, NotFoundError
from usbshare.base.threads import in_thread
from usbshare.bridge.checkup.context import Subject
from usbshare.bridge.hosts.name_lookup import configured, resolve
from usbshare.rpc.channel import DEFAULT_PORT, Target

CERTIFICATE = "client certificate"
_DNS_S = 5.0


async def judge_name(subject: Subject) -> Judgement:
    """Find where the target is; say by which way it was found."""
    text = subject.wishes.target
    if not text:
        return failure(
            "no target is given, configured or remembered",
            "give one with --target: the host's name, as `usbshare-bridge discover` shows it, "
            "or its address",
        )
    in_dns = await _in_dns(text)
    if _needs_discovery(subject, in_dns):
        return skipped(CERTIFICATE)
    try:
        subject.target = target = await resolve(text, subject.settings, subject.bundle)
    except NotFoundError as error:
        return _as_last_time(subject, error)
    if (way := _way(subject, target)) == "DNS" and not (in_dns or await _in_dns(str(target))):
        return failure(
            f"DNS does not know the name {target.host!r}",
            "check its spelling, or give the host's IP address",
        )
    shown = f"{text}: {target}" if text != str(target) else text
    known = f" ({', '.join(in_dns)})" if way == "DNS" else ""
    return fine(f"{shown}, by {way}{known}")


def _as_last_time(subject: Subject, error: NotFoundError) -> Judgement:
    """Take the address of last time, as the bridge does."""
    last = None if subject.wishes.is_asked else subject.wishes.defaults.last_host
    measured, _, remedy = str(error).partition(": ")
    if last is None:
        return failure(measured, remedy)
    subject.target = last
    return warning(f"{measured}; using {last}, its last known address", remedy)


def _needs_discovery(subject: Subject, in_dns: list[str]) -> bool:
    """Return whether only discovery could resolve it, which it cannot without a certificate."""
    if subject.bundle is not None or subject.wishes.insecure or in_dns:
        return False
    text = subject.wishes.target.strip()
    is_name = ":" not in text and parse_address(text) is None
    return is_name and configured(text, subject.settings) is None


def _way(subject: Subject, target: Target) -> str:
    text = subject.wishes.target.strip()
    if configured(text, subject.settings) is not None:
        return "[hosts]"
    if target.name:
        return "discovery"
    return "address" if parse_address(target.host.partition("%")[0]) else "DNS"


async def _in_dns(text: str) -> list[str]:
    """Return the addresses that the system's resolver knows for it."""
    try:
        host, port = split_host_port(text.strip(), DEFAULT_PORT)
        async with asyncio.timeout(_DNS_S):
            found = await in_thread(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    except (InvalidArgumentError, OSError, UnicodeError):  # a timeout is an OSError
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
