"""Renews this computer's certificate in time, and notifies connections that use it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from usbshare.base.errors import (
    ConfigError,
    ConnectionRefusedByPeerError,
    PermissionDeniedError,
    UsbshareError,
)
from usbshare.base.threads import begin, in_thread
from usbshare.bridge.forwarding import bundle_file
from usbshare.bridge.forwarding.report import Reporter
from usbshare.client.connection_limiter import GaveWayError, Turns
from usbshare.client.renewal_calls import call_renew, call_who_am_i
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import certificates, lifetime
from usbshare.trust.certificates import Key
from usbshare.trust.signing_requests import new_request

log = logging.getLogger(__name__)

# Another process may have renewed the file; and a session that could not move tries again.
LOOK_S = 2.0
RETRY = timedelta(minutes=10)
# Bridges of one computer that share a file do not all renew it in the same second.
SPREAD_S = 1.0
_AT_ONCE = datetime.min.replace(tzinfo=UTC)

Adopt = Callable[[ClientBundle], Awaitable[bool]]


class Renewing:
    """Keeps one client certificate current while `run` is awaited; `bundle` is the one in use.

    `adopt` takes living connections over to a new one; False: try again soon.
    """

    def __init__(
        self,
        bundle: ClientBundle,
        target: Callable[[], Target],
        adopt: Adopt,
        reporter: Reporter,
        turns: Turns,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.bundle = bundle
        self._target = target
        self._adopt = adopt
        self._reporter = reporter
        self._turns = turns
        self._now = now
        self._adopted = bundle
        self._stamp = (0, 0)  # the file may have changed since the bundle was read
        self._next_try = _AT_ONCE
        self._trouble = ""

    async def run(self) -> None:
        """Renew whenever it is due, until cancelled; a failure is reported, and retried."""
        while True:
            try:
                await self._look()
            except GaveWayError:
                self._next_try = _AT_ONCE
            except Exception as error:  # a job may be running: the bridge must not end for this
                log.debug("could not renew", exc_info=True)
                self._tell_trouble(error)
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        await self._reread()
        now = self._now()
        if lifetime.is_due(self.bundle.certificate, now) and now >= self._next_try:
            self._next_try = now + RETRY
            await asyncio.sleep(random.uniform(0, SPREAD_S))  # noqa: S311 - it spreads load only
            async with _alone(self.bundle.path):
                await self._reread()
                if lifetime.is_due(self.bundle.certificate, now):
                    self._take(await self._renewed(now))
        if self.bundle is not self._adopted:
            bundle = self.bundle
            if await self._adopt(bundle):
                self._adopted = bundle

    async def _renewed(self, now: datetime) -> ClientBundle:
        return await self._turns.give_way(obtain(self._target(), self.bundle, now))

    async def _reread(self) -> None:
        """Use what another process has put in the file, if that is newer."""
        stamp = await in_thread(bundle_file.stamp, self.bundle.path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        found = await in_thread(bundle_file.newest, self.bundle)
        if found is not self.bundle:
            self._take(found)

    def _take(self, bundle: ClientBundle) -> None:
        self.bundle, self._trouble = bundle, ""
        self._next_try = _AT_ONCE
        self._reporter.event(
            "renewed",
            f"the certificate was renewed; it is valid until {bundle.expires:%Y-%m-%d}",
            expires=bundle.expires.isoformat(),
        )

    def _tell_trouble(self, error: Exception) -> None:
        trouble = str(error) if isinstance(error, UsbshareError) else repr(error)
        if trouble == self._trouble:
            return
        self._trouble = trouble
        end = self.bundle.expires
        self._reporter.event(
            "not_renewed",
            f"could not renew the certificate ({trouble}): it is valid until {end:%Y-%m-%d}; "
            "trying again",
            expires=end.isoformat(),
            reason=trouble,
        )


async def renew(target: Target, bundle: ClientBundle) -> ClientBundle:
    """Get a new certificate and put it in the bundle's file.

    Raises UsbshareError; then the file, and what it holds, is as it was.
    """
    async with _alone(bundle.path):
        newest = await in_thread(bundle_file.newest, bundle)
        return await obtain(target, newest, datetime.now(UTC))


async def obtain(target: Target, bundle: ClientBundle, now: datetime) -> ClientBundle:
    """Get a new certificate for a new key, save it, and try it out; raises UsbshareError.

    The host lets the old one count no more once the new one is used, so that is saved before.
    """
    await in_thread(bundle_file.require_writable, bundle)
    identity = bundle_file.identity_of(bundle)
    key = certificates.new_key()
    request = new_request(key, identity.rsplit("/", 1)[-1])
    certificate, authorities = await call_renew(target, bundle, request)
    renewed = _checked(bundle, key, certificate, authorities, now)
    await in_thread(bundle_file.write, renewed)
    if trouble := await _trouble_with(target, renewed, identity):
        await in_thread(bundle_file.write, bundle)
        raise trouble
    return renewed


async def _trouble_with(
    target: Target, renewed: ClientBundle, identity: str
) -> UsbshareError | None:
    """Return why the host does not take the new certificate; a lost answer is no reason."""
    try:
        taken_for = await call_who_am_i(target, renewed)
    except PermissionDeniedError as error:
        return error
    except UsbshareError as error:
        log.debug("the new certificate could not be tried out: %s", error)
        return None
    if taken_for == identity:
        return None
    return ConnectionRefusedByPeerError(f"{target} uses the new certificate for {taken_for!r}")


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    held = ExitStack()
    taking = begin(lambda: held.enter_context(bundle_file.alone(path)))
    try:
        await asyncio.shield(taking)
        yield
    finally:
        taking.add_done_callback(lambda _: held.close())


def _checked(
    bundle: ClientBundle, key: Key, certificate: bytes, authorities: bytes, now: datetime
) -> ClientBundle:
    """Return the new bundle if the answer is what was asked for."""
    try:
        issued = x509.load_pem_x509_certificate(certificate)
        trusted = x509.load_pem_x509_certificates(authorities)
    except ValueError as error:
        raise ConnectionRefusedByPeerError(f"the host's answer is invalid: {error}") from error
    if issued.not_valid_before_utc > now:
        raise ConfigError(
            "the new certificate is valid only from "
            f"{issued.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: set this computer's clock; if "
            "it is right, set the host's"
        )
    is_vouched = any(certificates.is_issued_by(issued, each) for each in trusted)
    is_ours = certificates.uris(issued) == certificates.uris(bundle.certificate)
    if not (certificates.is_pair(issued, key) and is_vouched and is_ours):
        raise ConnectionRefusedByPeerError("the host's answer is not a certificate for this key")
    return ClientBundle(
        bundle.path, certificates.key_pem(key), certificate, authorities, issued.not_valid_after_utc
    )
