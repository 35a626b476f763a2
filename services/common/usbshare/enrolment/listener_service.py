"""The parts of the listener process: an enroller, its audit log, its listener."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from usbshare.audit.log import AuditLog, audit_folder
from usbshare.base.addresses import split_host_port
from usbshare.base.event_loop import on_stop_signals
from usbshare.base.logs import set_up_logging
from usbshare.base.usual_ports import ENROLMENT_PORT
from usbshare.base.watched_task import run_until
from usbshare.enrolment.api.listener import LONGEST_REQUEST_BYTES, EnrolmentListener
from usbshare.enrolment.api.servicer import MOST_AT_ONCE
from usbshare.enrolment.enroller import Enroller
from usbshare.enrolment.failed_attempts import FailedAttempts
from usbshare.enrolment.listener_options import ListenerOptions
from usbshare.handshakes.reporting import handshake_log
from usbshare.rpc.flood_guard import flood_guard

# What one address may send: a newcomer sends one request, after a probe.
BYTES_PER_S = MOST_AT_ONCE * LONGEST_REQUEST_BYTES


class Listener:
    """Enrols newcomers while an invitation is open; `stop` may be called from any thread."""

    def __init__(self, options: ListenerOptions) -> None:
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._is_stopped = False

    def stop(self) -> None:
        """End soon."""
        self._is_stopped = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended in the meantime
                self._loop.call_soon_threadsafe(self._stopped.set)

    async def serve(self) -> None:
        """Return when no invitation is open any more, or after `stop`."""
        options = self._options
        set_up_logging(options.log_level, as_json=options.log_as_json)
        self._loop = asyncio.get_running_loop()
        on_stop_signals(self._stopped.set)
        if self._is_stopped:
            return
        log = AuditLog(
            audit_folder(),
            options.service,
            max_bytes=options.audit_bytes,
            keep=options.audit_keep,
            keep_days=options.audit_keep_days,
            bytes_a_day=options.audit_bytes_a_day,
        )
        note: Callable[..., None] = log.note
        port = split_host_port(options.listen, ENROLMENT_PORT)[1]
        with log, handshake_log(note), flood_guard(port, lambda: BYTES_PER_S, note):
            await self._serve(Enroller(options.site, log, FailedAttempts(time.monotonic), _utc_now))

    async def _serve(self, enroller: Enroller) -> None:
        listener = EnrolmentListener(self._options.site, self._options.listen, enroller, _utc_now)
        await run_until(self._stopped, enrol=listener.run_while_wanted())


_utc_now = partial(datetime.now, UTC)
