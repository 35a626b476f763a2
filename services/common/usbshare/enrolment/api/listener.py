"""The listener for computers with an invitation and no certificate: open while an invitation is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

import grpc

from usbshare.base.errors import ConfigError
from usbshare.base.threads import in_thread
from usbshare.base.usual_ports import ENROLMENT_PORT
from usbshare.enrolment.api.servicer import EnrolmentServicer, add_to_server
from usbshare.enrolment.enroller import Enroller
from usbshare.rpc.channel import QUIET_KEEPALIVE
from usbshare.rpc.interceptors import StatusInterceptor
from usbshare.rpc.server import free_places
from usbshare.trust.invitation_deadline import InvitationDeadline
from usbshare.trust.invitations import invitations_path
from usbshare.trust.site import Site

_log = logging.getLogger(__name__)

POLL_S = 0.25
LONGEST_PAUSE_S = 5.0
GRACE_S = 2.0
LONGEST_REQUEST_BYTES = 32 * 1024
# Calls that have not sent their request occupy a place too, for seconds.
MOST_AT_ONCE = 256
_OPTIONS: tuple[tuple[str, int], ...] = (
    *QUIET_KEEPALIVE,
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", LONGEST_REQUEST_BYTES),
    ("grpc.max_metadata_size", 4 * 1024),
    ("grpc.absolute_max_metadata_size", 8 * 1024),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 10_000),
    ("grpc.max_connection_age_ms", 30_000),
)


class EnrolmentListener:
    """Opens and closes the listener of one service at `listen`; the first service to bind serves.

    `now` returns the aware time.
    """

    def __init__(
        self, site: Site, listen: str, enroller: Enroller, now: Callable[[], datetime]
    ) -> None:
        self._site = site
        self._listen = listen
        self._enroller = enroller
        self._now = now
        self._open_ones = InvitationDeadline(invitations_path(site.folder), now)
        self._server: grpc.aio.Server | None = None
        self._trouble = ""
        self._pause_s = POLL_S
        self._next_try_at = 0.0
        self.port = 0

    async def run(self) -> None:
        """Be open while an invitation is, until cancelled; failures are reported and retried."""
        task = asyncio.current_task()
        try:
            # Before Python 3.12 the stop of a server may swallow a cancellation (gh-86296).
            while task is None or not task.cancelling():
                try:
                    await self._look()
                except Exception as error:  # a job may be running here
                    self._say(f"{type(error).__name__}: {error}")
                await asyncio.sleep(POLL_S)
        finally:
            await self._close(0)

    async def run_while_wanted(self) -> None:
        """Be open while an invitation is; return once none is, or if the port is taken."""
        try:
            await self._look()
            while self._server is not None:
                await asyncio.sleep(POLL_S)
                await self._look()
        finally:
            await self._close(0)

    async def _look(self) -> None:
        if await in_thread(self._open_ones.read):
            self._next_try_at = 0.0
            if self._open_ones.trouble:
                self._say(self._open_ones.trouble)
        if self._open_ones.until is None:
            self._pause_s, self._next_try_at = POLL_S, 0.0
            await self._close(GRACE_S)
        elif self._server is None and asyncio.get_running_loop().time() >= self._next_try_at:
            await self._try_to_open()

    async def _try_to_open(self) -> None:
        try:
            places, credentials = await in_thread(self._prepare)
            await self._open(places, credentials)
        except (ConfigError, OSError) as error:
            # Normal if another service of this host was quicker.
            _log.debug("enrolment is not open here: %s", error)
            self._next_try_at = asyncio.get_running_loop().time() + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _prepare(self) -> tuple[list[str], grpc.ServerCredentials]:
        return free_places(self._listen, ENROLMENT_PORT), _credentials(self._site)

    async def _open(self, places: list[str], credentials: grpc.ServerCredentials) -> None:
        server = grpc.aio.server(
            interceptors=(StatusInterceptor(),),
            options=_OPTIONS,
            maximum_concurrent_rpcs=MOST_AT_ONCE,
        )
        add_to_server(EnrolmentServicer(self._enroller), server)
        try:
            ports = [server.add_secure_port(each, credentials) for each in places]
        except RuntimeError as error:
            await server.stop(None)
            raise ConfigError(f"cannot listen at {self._listen}: {error}") from error
        await server.start()
        self._server, self._trouble, self.port = server, "", ports[0]
        self._pause_s, self._next_try_at = POLL_S, 0.0
        until = self._open_ones.until or self._now()
        _log.info("enrolment is open at %s until %s UTC", self._listen, f"{until:%H:%M:%S}")

    async def _close(self, grace_s: float) -> None:
        if (server := self._server) is None:
            return
        self._server = None
        await server.stop(grace_s)
        _log.info("enrolment is closed: no invitation is open")

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.warning("cannot open enrolment: %s", trouble)


def _credentials(site: Site) -> grpc.ServerCredentials:
    # The chain includes the authorities, so that a newcomer finds the one that its invitation
    # names.
    chain = site.server_certificate.read_bytes() + site.ca_certificate.read_bytes()
    return grpc.ssl_server_credentials([(site.server_key.read_bytes(), chain)])
