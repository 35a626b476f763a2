"""A file of rules that a separate thread checks: one that hangs delays no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from usbshare.authorization.rule_file import RuleFile
from usbshare.base.threads import OwnThread

T = TypeVar("T")

# How long one look is waited for; it goes on, and a later one takes what it finds.
LOOK_S = 1.0
# The longest time between two checks that counts: a stalled process has not failed to read.
MOST_STEP_S = 6.0
# After this time a check that does not end is reported.
LATE_S = 10.0


class Followed(Generic[T]):
    """Looks at a file for one event loop, and knows for how long it could not be read.

    `look` is one of the file's own; `clock` is monotonic.
    """

    def __init__(
        self,
        file: RuleFile[T],
        look: Callable[[], T | None],
        name: str,
        clock: Callable[[], float],
    ) -> None:
        self._file = file
        self._look = look
        self._clock = clock
        self._looked_at = clock()
        self._thread = OwnThread(name)
        self._looking: asyncio.Future[T | None] | None = None
        self.unknown_s = 0.0

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._file.path

    @property
    def is_looking(self) -> bool:
        """Whether a look has not ended."""
        return self._looking is not None

    @property
    def trouble(self) -> str:
        """Why the file cannot be used as it is now; empty if it can, as far as is known."""
        if self._looking is None or self.unknown_s < LATE_S:
            return self._file.trouble
        return (
            f"{self.path} has been unreadable for {self.unknown_s:.0f} s: the disk does not answer"
        )

    async def look(self) -> T | None:
        """Return what has changed; None also while it cannot be read, or that takes long."""
        if self._looking is None:
            self._looking = self._thread.submit(self._look)
        await asyncio.wait((self._looking,), timeout=LOOK_S)
        now = self._clock()
        step_s, self._looked_at = min(now - self._looked_at, MOST_STEP_S), now
        if not self._looking.done():
            self.unknown_s += step_s
            return None
        looking, self._looking = self._looking, None
        found = looking.result()
        self.unknown_s = 0.0 if self._file.is_known else self.unknown_s + step_s
        return found

    def close(self) -> None:
        """Stop looking; does not wait for a look that hangs."""
        self._thread.close()
