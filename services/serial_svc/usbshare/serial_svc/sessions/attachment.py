"""A session's stream: it may end while the session waits for its client to come back."""

from __future__ import annotations

import asyncio

from usbshare.base.errors import SessionLostError, UsbshareError
from usbshare.rpc.pump import StreamPump
from usbshare.serial_svc.sessions.events import SessionEvent


class Attachment:
    """One stream of a session; `ended` says why the service ends it."""

    def __init__(self, pump: StreamPump[SessionEvent | None]) -> None:
        self.ended: asyncio.Future[UsbshareError] = asyncio.get_running_loop().create_future()
        self.pump = pump

    def end(self, why: str | UsbshareError) -> None:
        """Write nothing any more, and let the stream end: a text is of a session that was lost."""
        self.pump.close()
        if not self.ended.done():
            self.ended.set_result(SessionLostError(why) if isinstance(why, str) else why)
