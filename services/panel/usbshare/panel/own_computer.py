"""What the panel needs from its own computer; the program that starts the panel provides it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from usbshare.base.checkup import Check
from usbshare.panel.local_ports.wish import Wish
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle


@dataclass(frozen=True, slots=True)
class InvitationView:
    """What an invitation says; `replaces`: which certificate it would take the place of."""

    name: str
    role: str
    target: str
    site: str
    end: datetime
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class EnrolledView:
    """What came of an enrolment; `target` is the host's serial service."""

    identity: str
    role: str
    target: Target


@dataclass(frozen=True, slots=True)
class Usual:
    """What a bare bridge would do: the host as a person wrote it, the port, and why."""

    target: str = ""
    port_id: str = ""
    text: str = ""


Adopt = Callable[[ClientBundle], Awaitable[bool]]


class OwnComputer(Protocol):
    """The certificate of this computer, its bridges, and what is wrong with it."""

    def bridge_command(self, wish: Wish, waits: bool) -> Sequence[str]:
        """Return the command line of a bridge; `waits` for a host that is not up yet."""
        ...

    def load_certificate(self) -> ClientBundle:
        """Return the certificate as it is in its file now; ConfigError says why not. Blocks."""
        ...

    async def keep_certificate(
        self, bundle: ClientBundle, target: Callable[[], Target], adopt: Adopt
    ) -> None:
        """Renew it in time at the target, and have each new one adopted; never returns."""

    async def read_invitation(self, text: str) -> InvitationView:
        """Return what an invitation says; raises InvalidArgumentError."""
        ...

    async def enrol(self, text: str, *, replaces: bool) -> EnrolledView:
        """Use an invitation; raises UsbshareError, and then nothing has changed."""
        ...

    def check_up(self, host: str) -> AsyncIterator[Check]:
        """Yield what is checked of this computer and its way to a host, one after another."""
        ...

    def usual(self) -> Usual:
        """Return what a bare bridge would do. Blocks."""
        ...
