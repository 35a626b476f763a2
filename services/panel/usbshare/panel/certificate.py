"""The certificate that the panel uses: loaded once it exists, renewed in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from usbshare.base.errors import ConfigError
from usbshare.base.threads import in_thread
from usbshare.base.waits import first_of
from usbshare.base.watched_task import cancel_all
from usbshare.panel.own_computer import OwnComputer
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

LOOK_S = 2.0


class Certificate:
    """Follows the file until `run` is cancelled; `changed` is called with each certificate.

    `problem` says why there is none.
    """

    def __init__(
        self,
        own: OwnComputer,
        target: Callable[[], Target],
        changed: Callable[[ClientBundle], Awaitable[None]],
    ) -> None:
        self.bundle: ClientBundle | None = None
        self.problem = ""
        self._own = own
        self._target = target
        self._changed = changed
        self._anew = asyncio.Event()

    async def load(self) -> None:
        """Read the file once."""
        try:
            self.bundle = await in_thread(self._own.load_certificate)
            self.problem = ""
        except ConfigError as error:
            self.bundle, self.problem = None, str(error)

    async def run(self) -> None:
        """Wait for a certificate, then keep it current."""
        while True:
            while self.bundle is None:
                await asyncio.sleep(LOOK_S)
                await self.look()
            keeping = asyncio.create_task(
                self._own.keep_certificate(self.bundle, self._target, self._adopt),
                name="keep certificate",
            )
            self._anew.clear()
            try:
                await first_of(keeping, self._anew)
                if keeping.done():
                    keeping.result()
            finally:
                await cancel_all(keeping)

    async def look(self) -> None:
        """Read the file again and use its certificate: this computer was enrolled."""
        before = self.bundle
        await self.load()
        if self.bundle is not None and self.bundle != before:
            self._anew.set()
            await self._changed(self.bundle)

    async def _adopt(self, bundle: ClientBundle) -> bool:
        self.bundle = bundle
        await self._changed(bundle)
        return True
