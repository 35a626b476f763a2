"""The rules in force: the policy and who is revoked, followed as their files change."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from usbshare.audit.recorder import Audit
from usbshare.authorization.certificate_uses import Uses
from usbshare.authorization.policy import POLICY_FILE, Policy, gives_more, read_policy
from usbshare.authorization.rule_file import RuleFile
from usbshare.authorization.rule_file_thread import LATE_S, Followed
from usbshare.base.errors import ConfigError, UnreadableError
from usbshare.base.file_watch import FileWatch
from usbshare.trust.authorities import CERTIFICATES_FILE
from usbshare.trust.identities import Standing, read_standing, registry_path
from usbshare.trust.successors import in_hex

_log = logging.getLogger(__name__)

# How soon a file is looked at again after it has changed: editors write in steps.
AGAIN_S = 0.2
TICK_S = 1.0
# A file that cannot be read is tried again after so many ticks, though it has not changed.
TRY_AGAIN_TICKS = 4
# Only stops are allowed once it has been unknown for this long what a file says.
CLOSES_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class _Read:
    """A policy with the bytes that it was read from, None without a file."""

    policy: Policy
    text: bytes | None

    @property
    def sha256(self) -> str:
        """The hash of the file, or words where there is none."""
        if self.text is None:
            return "the default: there is no file"
        return hashlib.sha256(self.text).hexdigest()


class Rulebook:
    """The policy and the revocations of a configuration folder; read by `load`, then followed.

    What has mistakes leaves in force what was, and what cannot be read does so for a minute. Then
    the rules are closed: only stops are allowed. `clock` is monotonic.
    """

    def __init__(
        self,
        folder: Path,
        site_id: str,
        audit: Audit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy_path = folder / POLICY_FILE
        self.site_id = site_id
        self.policy = Policy()
        self.policy_sha256 = ""
        self._policy_text = b""
        self._standing = Standing()
        self._just_issued: set[str] = set()
        self._audit = audit
        self._subscribers: list[Callable[[], None]] = []
        self._policy_file = RuleFile(
            self.policy_path,
            self._read_policy,
            what_stays="keeping the previous policy, because the new one cannot be used",
            if_gone=_policy_is_gone,
            tell=lambda why: audit.note("policy refused", reason=why),
        )
        self._revocations_file = RuleFile(
            registry_path(folder),
            read_standing,
            what_stays="keeping the previous list of revoked identities",
            if_gone=_registry_is_gone,
        )
        self._policies = Followed(
            self._policy_file, self._policy_file.changed_for_good, "policy", clock
        )
        self._registry = Followed(
            self._revocations_file, self._revocations_file.changed, "revocations", clock
        )
        self.uses = Uses(registry_path(folder), audit, clock)
        self._trouble = self._late = ""
        self.is_closed = False

    @property
    def trouble(self) -> str:
        """Why a file of rules cannot be used as it is now; empty if all can, as far as is known."""
        return self._registry.trouble or self._policies.trouble

    @property
    def unknown_s(self) -> float:
        """For how long it has been unknown what a file says."""
        return max(self._registry.unknown_s, self._policies.unknown_s)

    def load(self) -> None:
        """Read everything; raises ConfigError. Blocks."""
        self._take(self._policy_file.load())
        registry = self._revocations_file.path
        if not registry.exists() and registry.with_name(CERTIFICATES_FILE).exists():
            raise UnreadableError(
                f"{registry} is gone, so the revoked identities are unknown: restore it from a "
                'backup; if none are revoked, write {"identities": []} into it'
            )
        self._standing = self._revocations_file.load()

    def is_revoked(self, identity: str, issued: datetime | None, serial: int = 0) -> bool:
        """Return whether a certificate of the identity that was issued then is revoked."""
        if serial and in_hex(serial) in self._standing.barred:
            return True
        revoked = self._standing.revoked.get(identity)
        return revoked is not None and (issued is None or issued <= revoked)

    def is_void(self, serial: int, now: datetime) -> bool:
        """Return whether a certificate is superseded: its successor is in use."""
        since = self._standing.void.get(in_hex(serial))
        return since is not None and now >= since

    def is_awaited(self, serial: int) -> bool:
        """Return whether the first use of a certificate is to be noted."""
        number = in_hex(serial)
        return number in self._standing.awaited or number in self._just_issued

    def expect(self, serial: int) -> None:
        """Await a certificate that was issued just now; may be called in any thread."""
        self._just_issued.add(in_hex(serial))

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when other rules are in force; returns the way out."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            with suppress(ValueError):
                self._subscribers.remove(callback)

        return unsubscribe

    async def follow(self, watch: FileWatch, after_tick: Callable[[], None]) -> None:
        """Follow the files, until cancelled; calls back each second at least, for what time ends.

        Nothing else ends it: whatever goes wrong is logged, and the next look comes.
        """
        files = watch.follow((self.policy_path, self._revocations_file.path))
        ticks = 0
        try:
            while True:
                has_changed = await files.changed(AGAIN_S if ticks < 0 else TICK_S)
                is_waiting = self._registry.is_looking or self._policies.is_looking
                is_due = has_changed or is_waiting or ticks < 0 or ticks >= TRY_AGAIN_TICKS
                ticks = -1 if has_changed else 0 if is_due else ticks + 1
                await self._follow_once(after_tick, looks=is_due)
        finally:
            watch.unfollow(files)

    async def _follow_once(self, after_tick: Callable[[], None], *, looks: bool) -> None:
        try:
            if looks:
                await self.look()
            after_tick()
        except Exception as error:
            self._explain(error)
        else:
            self._trouble = ""

    async def look(self) -> None:
        """Adopt what has changed, and notify the subscribers; a disk that hangs is left alone."""
        standing, policy = await asyncio.gather(self._registry.look(), self._policies.look())
        if standing is not None:
            self._standing = standing
            self._just_issued -= standing.known
        if policy is not None:
            self._take(policy)
            _log.info("the policy of %s is in force", self.policy_path)
            self._audit.note("policy changed", sha256=self.policy_sha256)
        was_closed, self.is_closed = self.is_closed, self.unknown_s >= CLOSES_AFTER_S
        self._tell_of_late()
        if policy is not None or standing is not None or self.is_closed != was_closed:
            self._tell()

    def _read_policy(self, path: Path) -> _Read:
        """Return the policy; ConfigError if it is the one before cut short, and would give more."""
        policy, found = read_policy(path)
        is_cut = found is not None and self._policy_text.startswith(found)
        if is_cut and gives_more(policy, self.policy):
            raise ConfigError(
                f"{path} is a truncated copy of the previous policy and would grant more: "
                "restore it; if this is intended, add a comment as its last line"
            )
        return _Read(policy, found)

    def _take(self, read: _Read) -> None:
        self.policy, self._policy_text = read.policy, read.text or b""
        self.policy_sha256 = read.sha256
        if not self.policy.grants:
            _log.warning("%s has no [[grants]]: it grants no rights", self.policy_path)

    def close(self) -> None:
        """Look no more."""
        self._registry.close()
        self._policies.close()

    def _tell_of_late(self) -> None:
        """Say when it becomes unknown what a file says, when that closes the rules, and its end."""
        state = "closed" if self.is_closed else "late" if self.unknown_s >= LATE_S else ""
        if state == self._late:
            return
        self._late = state
        if not state:
            _log.warning("the access rules can be read again")
            self._audit.note("rules can be read")
            return
        then = (
            "only stops are allowed until it can be read"
            if self.is_closed
            else f"after {CLOSES_AFTER_S:.0f} s only stops are allowed"
        )
        _log.error("the access rules may have changed: %s; %s", self.trouble, then)
        self._audit.note("rules cannot be read", reason=self.trouble, closed=self.is_closed)

    def _tell(self) -> None:
        for subscriber in tuple(self._subscribers):
            try:
                subscriber()
            except Exception as error:  # the others must hear of it all the same
                self._explain(error)

    def _explain(self, error: Exception) -> None:
        if (trouble := repr(error)) != self._trouble:
            self._trouble = trouble
            _log.error("could not follow the access rules; trying again", exc_info=error)


def _policy_is_gone(path: Path) -> ConfigError:
    return ConfigError(
        f"{path} is gone: restore it, or restart the services to use the default policy"
    )


def _registry_is_gone(path: Path) -> ConfigError:
    return UnreadableError(f"{path} is gone: restore it from a backup")
