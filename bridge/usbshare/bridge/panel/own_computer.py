"""What the panel needs of its computer: what the bridge's commands do, without a terminal."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from usbshare.base.checkup import Check, examine, fine
from usbshare.base.errors import ConfigError
from usbshare.base.paths import client_bundle_path
from usbshare.base.threads import in_thread
from usbshare.bridge.buffered.buffer_size import AUTO
from usbshare.bridge.checkup.context import Subject
from usbshare.bridge.checkup.steps import steps
from usbshare.bridge.commands.options import Wanted, trust
from usbshare.bridge.enrolment.automatic_renewal import Renewing
from usbshare.bridge.enrolment.certificate_request import enrol, places, require_place
from usbshare.bridge.enrolment.first_steps import first_steps
from usbshare.bridge.enrolment.replacement import CertificateKeptError, require_replaceable
from usbshare.bridge.forwarding.virtual_com_port import client_name
from usbshare.bridge.local_ports.usb_address import AUTO_PORT
from usbshare.client.connection_limiter import Turns
from usbshare.panel.local_ports.wish import Wish
from usbshare.panel.own_computer import Adopt, EnrolledView, InvitationView, Usual
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle
from usbshare.trust.invitation import Invitation


@dataclass(frozen=True, slots=True)
class PanelsComputer:
    """`given` are the options of the panel that a bridge needs too; `tell` warns a person."""

    wishes: Wanted
    given: Sequence[str]
    tell: Callable[[str], None]

    def bridge_command(self, wish: Wish, waits: bool) -> Sequence[str]:
        """Return the command line of a bridge for a local port."""
        where = wish.where or AUTO_PORT
        options = [f"--target={wish.host_name}", f"--port={wish.port_id}"]
        options.append(f"--{wish.kind.value}={where}")
        if wish.is_buffered:
            options.append(f"--buffered={AUTO}")
        if waits:
            options.append("--wait")
        own = [sys.executable, "-m", "usbshare.bridge", "--json", "--no-status"]
        return [*own, *self.given, *options]

    def load_certificate(self) -> ClientBundle:
        """Return the certificate that is in its file now; raises ConfigError. Blocks."""
        loaded = trust(self.wishes)
        if loaded is None:
            raise ConfigError("plaintext needs no certificate (--insecure)")
        return loaded

    async def keep_certificate(
        self, bundle: ClientBundle, target: Callable[[], Target], adopt: Adopt
    ) -> None:
        """Renew it in time, until cancelled."""
        await Renewing(bundle, target, adopt, _Told(self.tell), Turns()).run()

    async def read_invitation(self, text: str) -> InvitationView:
        """Return what an invitation says."""
        invitation = Invitation.decode(text)
        replaced = ""
        try:
            replaced = await in_thread(require_replaceable, self._path, invitation)
        except CertificateKeptError as error:
            replaced = error.what
        return InvitationView(
            invitation.name,
            invitation.role,
            str(Target(places(invitation)[0], invitation.port)),
            invitation.authority_sha256.hex(),
            invitation.expires,
            replaced,
        )

    async def enrol(self, text: str, *, replaces: bool) -> EnrolledView:
        """Use an invitation, and note what a bare bridge does from now on."""
        invitation = Invitation.decode(text)
        path = self._path
        await in_thread(require_place, path)
        if not replaces:
            await in_thread(require_replaceable, path, invitation)
        done = await enrol(invitation, path)
        said = path if self.wishes.bundle is not None else None
        trouble = (await first_steps(done, self.wishes.defaults, said)).trouble
        if trouble:
            self.tell(trouble)
        return EnrolledView(done.identity, done.role, done.target)

    async def check_up(self, host: str) -> AsyncIterator[Check]:
        """Yield what `doctor` finds."""
        wishes = replace(self.wishes, target=host, is_asked=True) if host else self.wishes
        defaults = wishes.defaults
        subject = Subject(
            wishes,
            await in_thread(lambda: defaults.settings),
            fine(f"{defaults.path}: correct" if defaults.path else "no configuration file"),
            defaults.configured_port(wishes.target) or defaults.repeated_port(wishes.target),
            defaults.virtual_port or defaults.last.virtual_port,
            client_name("bridge"),
        )
        try:
            async for check in examine(list(steps(subject))):
                yield check
        finally:
            await subject.close()

    def usual(self) -> Usual:
        """Return what a bare bridge would do; blocks."""
        wishes, defaults = self.wishes, self.wishes.defaults
        target = wishes.target
        if not target:
            return Usual()
        port_id = defaults.configured_port(target) or defaults.repeated_port(target)
        why = "as configured" if defaults.says_target else defaults.as_before
        return Usual(target, port_id, "as asked for" if wishes.is_asked else why)

    @property
    def _path(self) -> Path:
        return self.wishes.bundle or self.wishes.defaults.bundle or client_bundle_path()


@dataclass(frozen=True, slots=True)
class _Told:
    """A reporter whose events a person is told."""

    tell: Callable[[str], None]

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Tell it."""
        del name, fields
        self.tell(text)

    def status(self, status: object) -> None:
        """Do nothing: there is none."""

    def end(self) -> None:
        """Do nothing."""
