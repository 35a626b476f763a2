"""What a service sees of renewed certificates: first uses, and uses of those that are void.

The gate says it from the event loop, a thread writes it into the registry, which all services read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from usbshare.audit.recorder import Audit
from usbshare.base.threads import in_thread
from usbshare.base.throttle import Throttle
from usbshare.trust import identities, successors

_log = logging.getLogger(__name__)

WRITE_EVERY_S = 1.0
# An alarm goes on; it is kept and logged again after so long.
REMIND_S = 3600.0
MOST_REMEMBERED = 1000


class Uses:
    """Notes uses of certificates; of one event loop. `clock` is monotonic, `now` the aware time."""

    def __init__(
        self,
        path: Path,
        audit: Audit,
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._audit = audit
        self._now = now
        self._to_write: dict[str, Callable[[], None]] = {}
        self._noted: set[str] = set()
        self._alarms = Throttle[str](REMIND_S, clock, most_keys=MOST_REMEMBERED)
        self._trouble = ""
        self.void_uses = 0

    def first(self, uri: str, serial: int, address: str, fingerprint: str) -> None:
        """Note that a renewed certificate is in use; again costs a look."""
        number = successors.in_hex(serial)
        if number in self._noted:
            return
        self._noted.add(number)
        moment = self._now()
        self._put(number, lambda: identities.note_use(self._path, uri, number, moment))
        self._audit.note(
            "renewed certificate in use",
            who=uri,
            address=address,
            serial=number,
            fingerprint=fingerprint,
        )

    def void(self, uri: str, serial: int, address: str, fingerprint: str) -> None:
        """Raise the alarm that a superseded certificate was used."""
        number = successors.in_hex(serial)
        self.void_uses += 1
        self._audit.note(
            "void certificate used",
            who=uri,
            address=address,
            serial=number,
            fingerprint=fingerprint,
        )
        if not self._alarms.admits(number):
            return
        _log.error(
            "ALARM: a superseded certificate of %s was used from %s (key %s), so its file was "
            "copied; unless you know who copied it, revoke the name and invite it again",
            *(uri, address, fingerprint),
        )
        moment = self._now()
        host = address.rpartition(":")[0] or address
        self._put(uri, lambda: identities.note_alarm(self._path, uri, host, moment))

    async def keep(self) -> None:
        """Write what was noted, until cancelled; failures are reported and retried."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            for key, write in tuple(self._to_write.items()):
                try:
                    await in_thread(write)
                except Exception as error:  # no service ends for a note
                    self._tell(repr(error))
                    break
                self._trouble = ""
                if self._to_write.get(key) is write:
                    del self._to_write[key]

    def _put(self, key: str, write: Callable[[], None]) -> None:
        if key in self._to_write or len(self._to_write) < MOST_REMEMBERED:
            self._to_write[key] = write

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.error("cannot record certificate uses in %s: %s", self._path, trouble)
