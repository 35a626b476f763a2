"""A file of rules that is followed: read again when it has changed, until that has worked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from usbshare.base.errors import ConfigError, UnreadableError

_log = logging.getLogger(__name__)

T = TypeVar("T")
Stamp = tuple[int, int, int] | None
Tell = Callable[[str], None]


class RuleFile(Generic[T]):
    """Reads a file; what cannot be read is retried at each check, and reported once. Blocks.

    With `if_gone`, a file that was there and is gone is that mistake; else it is read as empty.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], T],
        *,
        what_stays: str,
        tell: Tell | None = None,
        if_gone: Callable[[Path], ConfigError] | None = None,
    ) -> None:
        self.path = path
        self._read = read
        self._what_stays = what_stays
        self._tell = tell
        self._if_gone = if_gone
        self._read_stamp: Stamp = None
        self._seen_stamp: Stamp = None
        self._is_known = True
        self._told: tuple[Stamp, str] | None = None

    @property
    def trouble(self) -> str:
        """Why it could not be used at the last look; empty if it could."""
        return self._told[1] if self._told else ""

    @property
    def is_known(self) -> bool:
        """Whether at the last look it could be read, with or without mistakes in it."""
        return self._is_known

    def load(self) -> T:
        """Read it, changed or not; raises ConfigError."""
        stamp = self._stamp()
        found = self._read(self.path)
        self._read_stamp = self._seen_stamp = stamp
        return found

    def changed(self) -> T | None:
        """Return what is in it if that has changed; None also while it cannot be read."""
        return self._look(lambda stamp: stamp == self._read_stamp)

    def changed_for_good(self) -> T | None:
        """Return the same once it has stayed as it is for one look: editors write in steps."""

        def is_none(stamp: Stamp) -> bool:
            is_steady, self._seen_stamp = stamp == self._seen_stamp, stamp
            return stamp == self._read_stamp or not is_steady

        return self._look(is_none)

    def _look(self, is_none: Callable[[Stamp], bool]) -> T | None:
        stamp: Stamp = None
        try:
            stamp = self._stamp()
            if is_none(stamp):
                self._is_known = True
                return None
            if stamp is None and self._if_gone is not None:
                raise self._if_gone(self.path)
            found = self._read(self.path)
            if self._stamp() != stamp:  # changed meanwhile: the next check reports it
                return None
        except Exception as error:  # whatever a file does to its reader, the rules stay
            is_mistake = isinstance(error, ConfigError) and not isinstance(error, UnreadableError)
            self._is_known = is_mistake
            self._explain(stamp, str(error) if isinstance(error, ConfigError) else repr(error))
            return None
        self._read_stamp, self._told, self._is_known = stamp, None, True
        return found

    def _explain(self, stamp: Stamp, why: str) -> None:
        if self._told == (stamp, why):
            return
        self._told = (stamp, why)
        _log.error("%s: %s", self._what_stays, why)
        if self._tell is not None:
            self._tell(why)

    def _stamp(self) -> Stamp:
        """Return what distinguishes versions of the file, None if there is none."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreadableError(f"{self.path}: {error.strerror or error}") from error
        return status.st_mtime_ns, status.st_size, status.st_ino
