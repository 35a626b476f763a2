"""Second factors: codes of authenticator apps (RFC 6238), each of which counts once."""

from __future__ import annotations

import hmac
import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyotp

from usbshare.common.errors import ConfigError, LimitError, PermissionDeniedError
from usbshare.common.file_lock import file_lock
from usbshare.common.paths import make_private, write_private

FILE_NAME = "totp.json"
ISSUER = "usbshare"
MOST_WRONG, WRONG_WITHIN_S = 5, 60.0
STEPS_AROUND = (0, -1, 1)  # clocks differ, and people type slowly: RFC 6238, 5.2


class SecondFactors:
    """Each identity's secret, in a file of the owner's only, and who has confirmed when.

    Methods that read or write the file block, and may be called in any thread.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._wrong: defaultdict[str, deque[float]] = defaultdict(deque)
        self._confirmed_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def has(self, identity: str) -> bool:
        """Tell whether the identity has a second factor."""
        return identity in self._read()

    def make(self, identity: str) -> str:
        """Make a secret, instead of one that is there; return it as an otpauth URI."""
        secret = pyotp.random_base32()
        self._change(lambda factors: factors.update({identity: {"secret": secret, "step": 0}}))
        name = identity.rpartition("/")[2]
        return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)

    def check(self, identity: str, code: str, now: datetime) -> None:
        """Take a code; PermissionDeniedError if it is wrong or used, LimitError after five."""
        self._require_few_wrong(identity)
        try:
            self._change(lambda factors: _use(factors, identity, code, now))
        except PermissionDeniedError:
            with self._lock:
                self._wrong[identity].append(self._clock())
            raise
        with self._lock:
            self._wrong.pop(identity, None)
            self._confirmed_at[identity] = self._clock()

    def confirmed_ago_s(self, identity: str) -> float | None:
        """Return how long ago the identity has confirmed; None if it has not."""
        at = self._confirmed_at.get(identity)
        return None if at is None else self._clock() - at

    def forget(self, identity: str) -> None:
        """Let nothing count any more that the identity has confirmed."""
        self._confirmed_at.pop(identity, None)

    def _require_few_wrong(self, identity: str) -> None:
        with self._lock:
            wrong = self._wrong[identity]
            while wrong and self._clock() - wrong[0] > WRONG_WITHIN_S:
                wrong.popleft()
            if len(wrong) >= MOST_WRONG:
                raise LimitError(f"{MOST_WRONG} wrong codes within a minute: wait a minute")

    def _change(self, change: Callable[[dict[str, Any]], object]) -> None:
        make_private(self._path.parent)
        with file_lock(self._path.with_name(f".{self._path.name}.lock")):
            factors = self._read()
            change(factors)
            write_private(self._path, json.dumps(factors, indent=1).encode())

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {self._path}: {error}") from error
        if not isinstance(found, dict):
            raise ConfigError(f"{self._path} is damaged: remove it and make new second factors")
        return found


def _use(factors: dict[str, Any], identity: str, code: str, now: datetime) -> None:
    """Note the step that the code is of as used; PermissionDeniedError if there is none."""
    if (factor := factors.get(identity)) is None:
        name = identity.rpartition("/")[2]
        raise PermissionDeniedError(
            f"{name} has no second factor: make one on the host with `serial-svc pki totp {name}`"
        )
    totp = pyotp.TOTP(factor["secret"])
    current = totp.timecode(now)
    for step in (current + each for each in STEPS_AROUND):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.strip().encode()):
            if step <= factor["step"]:
                raise PermissionDeniedError("the code was used already: wait for the next one")
            factor["step"] = step
            return
    raise PermissionDeniedError("the code is wrong: check it, and the clocks of phone and host")
