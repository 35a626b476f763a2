"""Connections to this host's serial service, as the identity `job-svc`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from usbshare.base.errors import (
    ConfigError,
    ConnectionRefusedByPeerError,
    DeviceError,
    NotSupportedError,
    PermissionDeniedError,
    UsbshareError,
)
from usbshare.base.threads import in_thread
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.messages import RemotePort
from usbshare.client.serial.stop_report import SeenHold, StopReport
from usbshare.line.stop_actions import StopAction
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle
from usbshare.trust.site import Site, ensure_job_identity

_log = logging.getLogger(__name__)
CALL_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 20.0


class SerialLink:
    """Keeps a connection for looks, and another, warm, for what acts on a machine."""

    def __init__(self, target: Target, site: Site | None) -> None:
        self.target = target
        self._site = site
        self._looks = _Kept(self._connect)
        self._acts = _Kept(self._connect)

    async def prepare(self) -> None:
        """Create a certificate for the job service, if it has none; raises ConfigError."""
        if self._site is not None:
            await in_thread(ensure_job_identity, self._site)

    async def trust(self) -> ClientBundle | None:
        """Return the certificate in use now, None over plaintext.

        DeviceError if it is not valid.
        """
        if self._site is None:
            return None
        try:
            return await in_thread(ClientBundle.load, self._site.job_bundle)
        except ConfigError as error:
            raise DeviceError(f"job-svc has no valid certificate: {error}") from error

    async def list_ports(self) -> list[RemotePort]:
        """Return the ports of the serial service."""
        async with self._looks.client() as client:
            return await client.list_ports(CALL_TIMEOUT_S)

    async def get_port(self, port_id: str) -> RemotePort:
        """Return one port as it is now; keeps the way of a stop warm as well."""
        async with self._acts.client() as client:
            return await client.get_port(port_id, CALL_TIMEOUT_S)

    async def hold(self, port_id: str, reason: str) -> StopReport:
        """Hold a machine, with its beam off where it has a way for that."""
        async with self._acts.client() as client:
            try:
                return await client.stop(port_id, StopAction.SAFETY_DOOR, reason, STOP_TIMEOUT_S)
            except NotSupportedError:
                return await client.stop(port_id, StopAction.HOLD, reason, STOP_TIMEOUT_S)

    async def resume(self, port_id: str, reason: str, seen: SeenHold) -> None:
        """Resume a machine, unless it was held again after the hold that was seen."""
        async with self._acts.client() as client:
            await client.stop(port_id, StopAction.RESUME, reason, STOP_TIMEOUT_S, seen=seen)

    async def reset(self, port_id: str, reason: str) -> None:
        """Reset a machine at once, with its beam off; what was sent is void.

        Where it cannot be reset it is stopped, which latches its port.
        """
        async with self._acts.client() as client:
            try:
                await client.reset(port_id, "", reason, CALL_TIMEOUT_S)
            except UsbshareError as error:
                _log.warning("port '%s' cannot be reset (%s): stopping it", port_id, error)
                await client.stop(port_id, StopAction.EMERGENCY_STOP, reason, STOP_TIMEOUT_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._looks.close()
        await self._acts.close()

    async def _connect(self) -> SerialClient:
        return SerialClient(self.target, await self.trust())


class _Kept:
    """A connection that is made anew, with the certificate of then, once it has failed.

    It is closed with the last call that uses it: a stop is not ended by another call's trouble.
    """

    def __init__(self, connect: Callable[[], object]) -> None:
        self._connect = connect
        self._client: SerialClient | None = None
        self._users: dict[SerialClient, int] = {}

    @asynccontextmanager
    async def client(self) -> AsyncIterator[SerialClient]:
        """Lend the connection; raises DeviceError if the service refuses it."""
        if self._client is None:
            self._client = await self._connect()  # type: ignore[misc]  # a coroutine
        client: SerialClient = self._client
        self._users[client] = self._users.get(client, 0) + 1
        try:
            yield client
        except ConnectionRefusedByPeerError as error:
            self._drop(client)
            raise DeviceError(f"serial-svc: {error}") from error
        except PermissionDeniedError:
            self._drop(client)
            raise
        finally:
            self._users[client] -= 1
            if not self._users[client]:
                del self._users[client]
                if self._client is not client:
                    await client.close()

    def _drop(self, client: SerialClient) -> None:
        if self._client is client:
            self._client = None

    async def close(self) -> None:
        """Close it, if it is there."""
        client, self._client = self._client, None
        if client is not None and client not in self._users:
            await client.close()
