"""What the machines of this computer are doing, asked of its own service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from usbshare.base.addresses import parse_address, split_host_port
from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.base.paths import config_folder
from usbshare.client.serial.client import SerialClient
from usbshare.client.status.follow import Followed, json_list, shown_on
from usbshare.client.status.host_watch import look_once
from usbshare.client.status.text import page
from usbshare.rpc.channel import DEFAULT_PORT, Target
from usbshare.rpc.tls import ClientBundle
from usbshare.trust.site import Site

TIMEOUT_S = 10.0


def operator_bundle() -> ClientBundle:
    """Return the certificate that a service of this computer made for its operator."""
    return ClientBundle.load(Site(config_folder(), "").client_bundle)


class OwnHost:
    """The service that listens there; `bundle` None: in plaintext."""

    def __init__(self, listen: str, bundle: ClientBundle | None) -> None:
        self._target = _own_target(listen)
        self._bundle = bundle

    async def look(self, *, as_json: bool) -> str:
        """Return it in words or JSON; raises UsbshareError where no service answers."""
        client = SerialClient(self._target, self._bundle)
        try:
            status = await look_once(str(self._target), client, TIMEOUT_S)
        finally:
            await client.close()
        if status.failure:
            raise ConnectionRefusedByPeerError(status.failure)
        return json_list([status]) if as_json else page([status])

    async def watch(
        self, interval_s: float, stream: TextIO, tell: Callable[[str], None], *, as_json: bool
    ) -> None:
        """Show it again and again until SIGINT or SIGTERM."""
        followed = Followed(interval_s)
        followed.add(str(self._target), SerialClient(self._target, self._bundle))
        await followed.show(shown_on(stream, tell, as_json=as_json))


def _own_target(listen: str) -> Target:
    host, port = split_host_port(listen, DEFAULT_PORT)
    address = parse_address(host)
    is_any = address is not None and address.is_unspecified
    return Target("127.0.0.1" if is_any else host, port)
