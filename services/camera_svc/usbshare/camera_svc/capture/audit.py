"""What the audit log records about the cameras: who watched, and who changed what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from usbshare.audit.recorder import Audit, NullAudit
from usbshare.base.throttle import Throttle
from usbshare.camera_svc.capture.frame_source import ControlChange
from usbshare.camera_svc.viewers.stats import Client

# Of the snapshots that a program takes one after another, one in this time is noted.
SNAPSHOT_PAUSE_S = 60.0


class CameraAudit:
    """Writes to the audit log; never waits, never fails."""

    def __init__(self, clock: Callable[[], float], audit: Audit | None = None) -> None:
        self._clock = clock
        self._audit = audit or NullAudit()
        self._pictured = Throttle[tuple[str, str]](SNAPSHOT_PAUSE_S, clock)

    @contextmanager
    def watching(self, client: Client, camera_id: str) -> Iterator[None]:
        """Note that a viewer arrived, and that it left when the block ends."""
        began_at = self._clock()
        self._note("viewer came", client, camera_id, client=client.name)
        try:
            yield
        finally:
            seconds = round(self._clock() - began_at, 3)
            self._note("viewer left", client, camera_id, client=client.name, seconds=seconds)

    def pictured(self, client: Client, camera_id: str) -> None:
        """Note a snapshot; of consecutive ones, one per minute."""
        if self._pictured.admits((client.identity, camera_id)):
            self._note("picture taken", client, camera_id)

    def controlled(self, client: Client, camera_id: str, changes: Iterable[ControlChange]) -> None:
        """Note controls that were changed."""
        values = {change.name: "auto" if change.automatic else change.value for change in changes}
        self._note("controls changed", client, camera_id, controls=values)

    def _note(self, event: str, who: Client, camera_id: str, **fields: object) -> None:
        self._audit.note(
            event, who=who.identity, address=who.peer, port="", camera=camera_id, **fields
        )
