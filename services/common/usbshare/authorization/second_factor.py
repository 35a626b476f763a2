"""Second factors: codes of authenticator apps (RFC 6238), each of which counts once."""

from __future__ import annotations

import binascii
import hmac
import json
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pyotp

from usbshare.authorization.lockout import MOST_WRONG, Guesses, read_guesses, write_guesses
from usbshare.authorization.schedule import duration_in_words
from usbshare.base.errors import ConfigError, LimitError, PermissionDeniedError, UsbshareError
from usbshare.base.file_lock import file_lock
from usbshare.base.file_watch import FileWatch
from usbshare.base.paths import make_private, write_private
from usbshare.base.plain_file import read_plain
from usbshare.base.threads import in_thread

_log = logging.getLogger(__name__)

FILE_NAME = "totp.json"
ISSUER = "usbshare"
TRY_AGAIN_S = 5.0
STEPS_AROUND = (0, -1, 1)  # clocks differ, and people type slowly: RFC 6238, 5.2


_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Confirmation:
    """When an identity has confirmed, by the clock, and with which secret."""

    at: float
    secret: str


class SecondFactors:
    """Each identity's secret, in a file of the owner's only, and who has confirmed when.

    Methods that read or write the file block, and may be called in any thread.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._made: frozenset[str] | None = None
        self._confirmed: dict[str, _Confirmation] = {}
        self._stamp: tuple[int, int] | None = None
        self._trouble = ""
        self._lock = threading.Lock()
        self._checking = threading.Lock()

    def has(self, identity: str) -> bool:
        """Return whether the identity has a second factor."""
        return identity in self._read()

    def make(self, identity: str) -> str:
        """Make a secret, instead of one that is there; return it as an otpauth URI."""
        secret = pyotp.random_base32()
        self._change(lambda factors: factors.update({identity: {"secret": secret, "step": 0}}))
        name = identity.rpartition("/")[2]
        return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)

    def unlock(self, identity: str) -> bool:
        """Let an identity give codes again that gave too many wrong ones; False if it may."""

        def clear(factors: dict[str, Any]) -> bool:
            factor = factors.get(identity)
            had_any = isinstance(factor, dict) and bool(read_guesses(factor).wrong)
            if had_any:
                write_guesses(factors[identity], Guesses())
            return had_any

        return self._change(clear)

    def check(self, identity: str, code: str, now: datetime) -> None:
        """Take a code; PermissionDeniedError if it is wrong or used, LimitError in a pause.

        Wrong ones in a row are counted in the file: pauses grow, then it is locked.
        """
        with self._checking:
            try:
                used = self._change(lambda factors: _use(factors, identity, code, now))
            except (ConfigError, OSError) as error:
                _log.error("second factors cannot be checked: %s", error)
                raise PermissionDeniedError(
                    "this host cannot use its second factors: its operator finds what to do in "
                    "the service's log"
                ) from error
            if isinstance(used, UsbshareError):
                raise used
            with self._lock:
                self._confirmed[identity] = _Confirmation(self._clock(), used)
                if self._made is not None:
                    self._made |= {identity}
            self._stamp = None  # the secret may have been replaced since

    def is_missing(self, identity: str) -> bool:
        """Return whether it is known that the identity has no second factor; never blocks."""
        return self._made is not None and identity not in self._made

    def confirmed_ago_s(self, identity: str) -> float | None:
        """Return how long ago the identity has confirmed; None if it has not."""
        found = self._confirmed.get(identity)
        return None if found is None else self._clock() - found.at

    def forget(self, identity: str) -> None:
        """Forget all confirmations of the identity."""
        self._confirmed.pop(identity, None)

    async def follow(self, watch: FileWatch) -> None:
        """Follow the file, until cancelled: a secret that is replaced has confirmed nothing."""
        file = watch.follow((self._path,))
        try:
            while True:
                await file.changed(TRY_AGAIN_S)
                try:
                    await in_thread(self.look)
                    self._trouble = ""
                except (ConfigError, OSError) as error:
                    self._tell(str(error))
        finally:
            watch.unfollow(file)

    def look(self) -> None:
        """Let nothing count that was confirmed with a secret which is not in the file any more."""
        if (stamp := self._stamp_now()) == self._stamp:
            return
        factors = self._read()
        self._stamp = stamp
        self._made = frozenset(factors)
        with self._lock:
            for identity, found in tuple(self._confirmed.items()):
                if _secret_of(factors.get(identity)) != found.secret:
                    del self._confirmed[identity]

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.error("cannot tell whether second factors were replaced: %s", trouble)

    def _stamp_now(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_mtime_ns, status.st_ino

    def _change(self, change: Callable[[dict[str, Any]], _Result]) -> _Result:
        make_private(self._path.parent)
        with file_lock(self._path.with_name(f".{self._path.name}.lock")):
            factors = self._read()
            result = change(factors)
            write_private(self._path, json.dumps(factors, indent=1).encode())
        return result

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(read_plain(self._path))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"cannot read {self._path}: {why}") from error
        if not isinstance(found, dict):
            raise ConfigError(f"{self._path} is damaged: remove it and create new second factors")
        return found


def _use(factors: dict[str, Any], identity: str, code: str, now: datetime) -> str | UsbshareError:
    """Return the secret of a code that counts, or why it does not; both are noted in `factors`."""
    try:
        return _taken(factors, identity, code, now)
    except (PermissionDeniedError, LimitError) as error:
        return error


def _taken(factors: dict[str, Any], identity: str, code: str, now: datetime) -> str:
    """Note the step that the code is of as used, or one more wrong code; return the secret."""
    name = identity.rpartition("/")[2]
    if (factor := factors.get(identity)) is None:
        raise PermissionDeniedError(no_second_factor(name))
    if not (secret := _secret_of(factor)):
        raise PermissionDeniedError(
            f"the second factor of {name} is damaged: replace it on the host with `serial-svc "
            f"pki totp {name} --replace`"
        )
    guesses = read_guesses(factor)
    if guesses.is_locked:
        raise PermissionDeniedError(_locked(name))
    if left := guesses.left(now):
        wait = duration_in_words(math.ceil(left.total_seconds()))
        raise LimitError(f"{guesses.wrong} wrong codes in a row: wait {wait}, then try again")
    step = _step_of(secret, code, now)
    if step is None:
        guesses = guesses.with_wrong(now)
        write_guesses(factor, guesses)
        if guesses.is_locked:
            _log.error(
                "the second factor of %s is locked after %d wrong codes", name, guesses.wrong
            )
            raise PermissionDeniedError(_locked(name))
        raise PermissionDeniedError(
            "wrong code: check it, and the clocks of the phone and the host; after "
            f"{MOST_WRONG - guesses.wrong} more wrong codes the second factor is locked"
        )
    if step <= factor["step"]:
        raise PermissionDeniedError("the code was already used: wait for the next one")
    factor["step"] = step
    write_guesses(factor, Guesses())
    return secret


def no_second_factor(name: str) -> str:
    """Return what to say of an identity that has none."""
    return (
        f"{name} has no second factor: the host's administrator creates one there with "
        f"`serial-svc pki totp {name}`"
    )


def _locked(name: str) -> str:
    return (
        f"the second factor of {name} is locked after {MOST_WRONG} wrong codes: if {name} "
        "entered them, the host's administrator unlocks it there with `serial-svc pki totp "
        f"{name} --unlock`"
    )


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    """Return the step of time that a code is of, None if it is wrong."""
    totp = pyotp.TOTP(secret)
    current = totp.timecode(now)
    for step in (current + each for each in STEPS_AROUND):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.strip().encode()):
            return step
    return None


def _secret_of(factor: object) -> str:
    """Return the secret; empty if the entry is none that this module has written."""
    match factor:
        case {"secret": str(secret), "step": int()} if _is_key(secret):
            return secret
    return ""


def _is_key(secret: str) -> bool:
    try:
        return bool(pyotp.TOTP(secret).byte_secret())
    except (binascii.Error, ValueError):
        return False
