"""The way to this host's serial service, as the identity `job-svc`."""

from __future__ import annotations

import logging

from usbshare.base.errors import ConfigError, UsbshareError
from usbshare.base.threads import in_thread
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.messages import RemotePort
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle
from usbshare.trust.site import Site, ensure_job_identity

_log = logging.getLogger(__name__)
CALL_TIMEOUT_S = 5.0


class SerialLink:
    """Makes connections to the serial service; keeps one for what is asked now and then."""

    def __init__(self, target: Target, site: Site | None) -> None:
        self.target = target
        self._site = site
        self._client: SerialClient | None = None

    async def prepare(self) -> None:
        """Have a certificate of the job service's own, if it has none; raises ConfigError."""
        if self._site is not None:
            await in_thread(ensure_job_identity, self._site)

    async def connect(self) -> SerialClient:
        """Return a connection of its own with the certificate of the moment; the caller's."""
        return SerialClient(self.target, await self._bundle())

    async def list_ports(self) -> list[RemotePort]:
        """Return the ports of the serial service."""
        if self._client is None:
            self._client = await self.connect()
        try:
            return await self._client.list_ports(CALL_TIMEOUT_S)
        except UsbshareError:
            # The next one has a new connection, and the certificate of then.
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection that is kept."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _bundle(self) -> ClientBundle | None:
        if self._site is None:
            return None
        try:
            return await in_thread(ClientBundle.load, self._site.job_bundle)
        except ConfigError as error:
            _log.debug("no certificate for serial-svc", exc_info=True)
            raise UsbshareError(f"job-svc has no valid certificate of its own: {error}") from error
