"""What is wrong with the service itself: its record of jobs, its disk, its serial service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from usbshare.base.threads import in_thread
from usbshare.job_svc.run.ports import Ports

LOOK_S = 5.0


@dataclass
class Condition:
    """Knows the troubles of the service; `kept_aside` blocks and names damaged records there are.

    A damaged record counts until a person has moved it away, also after a restart: until then the
    service is not healthy, although it takes jobs.
    """

    kept_aside: Callable[[], list[str]]
    record_trouble: Callable[[], str]
    ports: Ports
    damaged: tuple[str, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether the record of the jobs is whole and can be written."""
        return not (self.damaged or self.record_trouble())

    @property
    def troubles(self) -> list[str]:
        """The problems, one sentence each."""
        found = []
        if self.damaged:
            found.append(
                f"the record of jobs was damaged and is kept aside as {', '.join(self.damaged)}: "
                "queue and history are new; examine it, then move it away"
            )
        if trouble := self.record_trouble():
            found.append(f"the record of jobs cannot be written: {trouble}")
        if trouble := self.ports.persistent_trouble:
            found.append(f"serial-svc does not report its ports: {trouble}")
        return found

    async def look(self) -> None:
        """Look for records that are kept aside."""
        with suppress(OSError):  # the record's own trouble says so
            self.damaged = tuple(await in_thread(self.kept_aside))

    async def follow(self) -> None:
        """Poll until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()
