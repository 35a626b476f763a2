"""The rules in force: the policy and who is revoked, followed as their files change."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from usbshare.common.access.policy import POLICY_FILE, Policy, load_policy
from usbshare.common.audit.noting import Audit
from usbshare.common.errors import ConfigError
from usbshare.common.pki.identities import read_revocations, registry_path

_log = logging.getLogger(__name__)

POLL_S = 0.2
_Stamp = tuple[int, int, int] | None


class Rulebook:
    """The policy and the revocations of a configuration folder; read by `load`, then followed.

    What cannot be read or has mistakes leaves in force what was.
    """

    def __init__(self, folder: Path, site_id: str, audit: Audit) -> None:
        self.policy_path = folder / POLICY_FILE
        self.site_id = site_id
        self.policy = Policy()
        self._revocations: Mapping[str, datetime] = {}
        self._revocations_path = registry_path(folder)
        self._audit = audit
        self._subscribers: list[Callable[[], None]] = []
        self._policy_stamp: _Stamp = None
        self._unsteady_stamp: _Stamp = None
        self._revocations_stamp: _Stamp = None

    def load(self) -> None:
        """Read everything; raises ConfigError. Blocks."""
        self._policy_stamp = self._unsteady_stamp = _stamp(self.policy_path)
        self.policy = load_policy(self.policy_path)
        self._revocations_stamp = _stamp(self._revocations_path)
        self._revocations = read_revocations(self._revocations_path)

    def is_revoked(self, identity: str, issued: datetime | None) -> bool:
        """Tell whether a certificate of the identity that was issued then is revoked."""
        revoked = self._revocations.get(identity)
        return revoked is not None and (issued is None or issued <= revoked)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when other rules are in force; returns the way out."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            with suppress(ValueError):
                self._subscribers.remove(callback)

        return unsubscribe

    async def follow(self, after_look: Callable[[], None]) -> None:
        """Follow the files, until cancelled; calls back after each look, for what time ends."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.look()
            after_look()

    async def look(self) -> None:
        """Take over what has changed, and tell the subscribers."""
        revocations = await asyncio.to_thread(self._changed_revocations)
        policy = await asyncio.to_thread(self._changed_policy)
        if revocations is not None:
            self._revocations = revocations
        if policy is not None:
            self.policy = policy
        if policy is not None or revocations is not None:
            for subscriber in tuple(self._subscribers):
                subscriber()

    def _changed_policy(self) -> Policy | None:
        """Read the policy if it has changed and then stayed as it is for one look.

        Editors write in steps; a file that is gone for a moment must not cost anybody a right.
        """
        stamp = _stamp(self.policy_path)
        is_steady, self._unsteady_stamp = stamp == self._unsteady_stamp, stamp
        if stamp == self._policy_stamp or not is_steady:
            return None
        self._policy_stamp = stamp
        try:
            policy = load_policy(self.policy_path)
        except ConfigError as error:
            _log.error("the policy stays as it was, since the new one has mistakes: %s", error)
            self._audit.note("policy refused", reason=str(error))
            return None
        _log.info("the policy of %s is in force", self.policy_path)
        self._audit.note("policy changed", sha256=_digest(self.policy_path))
        return policy

    def _changed_revocations(self) -> Mapping[str, datetime] | None:
        stamp = _stamp(self._revocations_path)
        if stamp == self._revocations_stamp:
            return None
        self._revocations_stamp = stamp
        try:
            return read_revocations(self._revocations_path)
        except ConfigError as error:
            _log.error("who is revoked stays as it was: %s", error)
            return None


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "the default, there is no file"
