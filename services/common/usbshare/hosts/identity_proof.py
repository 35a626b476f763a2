"""Which of several addresses is a host of our site, proved by its certificate."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from usbshare.base.adaptive_timeout import Patience
from usbshare.base.addresses import parse_address
from usbshare.base.watched_task import cancel_all
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle, ssl_context

REACH_S = 2.5  # until somebody takes a connection; then it goes by how long that took
MOST_TRIED = 16
THEN = 3  # times as long for the one that took it, at least
HEAD_START_S = 0.1  # RFC 8305, 5: what is better goes first
_ANYBODYS_NAMES = frozenset({"localhost"})


@dataclass(frozen=True, slots=True)
class Proof:
    """Where a host answered, and the SHA-256 of its certificate, empty in plaintext."""

    target: Target
    certificate: str = ""


async def first_proven(
    targets: Sequence[Target], bundle: ClientBundle | None, timeout_s: float = REACH_S
) -> Target | None:
    """Return the first that answers with a certificate of our site; the better begin earlier.

    A target's `tls_name` must be in the certificate; where it has none, it gets one from there, so
    that later connections are to the same host. Without a bundle, an open port is all there is.
    """
    proof = await first_proof(targets, bundle, timeout_s)
    return None if proof is None else proof.target


async def first_proof(
    targets: Sequence[Target], bundle: ClientBundle | None, timeout_s: float = REACH_S
) -> Proof | None:
    """As `first_proven`, with the certificate."""
    patience = Patience(timeout_s, THEN * timeout_s)
    trying = [
        asyncio.create_task(
            _prove(target, bundle, index * HEAD_START_S, patience), name=f"prove {target}"
        )
        for index, target in enumerate(targets[:MOST_TRIED])
    ]
    try:
        left = set(trying)
        while left and patience.left_s:
            ended, left = await asyncio.wait(
                left, timeout=patience.left_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                with suppress(OSError):  # of which TLS errors are
                    return task.result()
    finally:
        await cancel_all(*trying)
    return None


async def _prove(
    target: Target, bundle: ClientBundle | None, wait_s: float, patience: Patience
) -> Proof:
    """Return the target with the name in its certificate; raises OSError."""
    await asyncio.sleep(wait_s)
    loop = asyncio.get_running_loop()
    started = loop.time()
    _, writer = await asyncio.open_connection(target.host, target.port)
    patience.answered(loop.time() - started)
    try:
        if bundle is None:
            return Proof(target)
        context = ssl_context(bundle)
        # Any host that our authority calls a server: what to call it, nobody but itself has said.
        context.check_hostname = bool(target.tls_name)
        await writer.start_tls(context, server_hostname=target.certified_name)
        certificate = writer.get_extra_info("peercert")
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
    finally:
        writer.transport.abort()
    proven = target if target.tls_name else replace(target, tls_name=_name_in(certificate))
    return Proof(proven, hashlib.sha256(shown).hexdigest())


def _name_in(certificate: dict[str, Any] | None) -> str:
    """Return the host's own DNS name in a certificate, else an address; empty where it has none."""
    pairs = (certificate or {}).get("subjectAltName", ())
    names = [name for kind, name in pairs if kind == "DNS"]
    own = sorted((name for name in names if name not in _ANYBODYS_NAMES), key=_rank)
    addresses = _normal(value for kind, value in pairs if kind == "IP Address")
    return next(iter([*own, *addresses, *names]), "")


def _rank(name: str) -> tuple[bool, bool, str]:
    return not name.endswith(".local"), "." not in name, name


def _normal(addresses: Iterable[str]) -> list[str]:
    parsed = (parse_address(each.strip()) for each in addresses)
    return [str(each) for each in parsed if each is not None and not each.is_loopback]
