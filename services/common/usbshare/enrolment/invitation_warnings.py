"""What prevents an invitation from being used: addresses without a certificate, no listener.

Blocks: it waits a while for the listener.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from usbshare.base.errors import UsbshareError
from usbshare.enrolment.invitation_maker import Answer, uncertified, wait_for_answer
from usbshare.trust.invitation import Invitation
from usbshare.trust.site import Site


@dataclass(frozen=True, slots=True)
class InvitationPlace:
    """What an invitation says about the host: where to enrol, and where its serial service is.

    `interfaces`: whose addresses it names; empty for all.
    """

    enrolment: str
    serial_port: int
    interfaces: Sequence[str] = ()


def warnings(site: Site, invitation: Invitation, place: InvitationPlace) -> tuple[str, ...]:
    """Return what prevents an invitation from being used, one line each; failed checks too."""
    checks = (
        partial(_wrong_addresses, site, invitation.addresses),
        partial(_wrong_listener, site, place.enrolment),
    )
    return tuple(warning for check in checks for warning in _checked(check))


def _wrong_addresses(site: Site, addresses: Sequence[str]) -> list[str]:
    return [
        f"the host's certificate is not for {each}: add it to `[tls] names`, then restart "
        "the services"
        for each in uncertified(site, addresses)
    ]


def _wrong_listener(site: Site, listen: str) -> list[str]:
    answer = wait_for_answer(site, listen)
    if answer is Answer.OPENING:
        return [
            f"a service of this host is still opening enrolment at {listen}: the invitation works "
            "from then on"
        ]
    if answer is Answer.NOBODY:
        return [f"no service of this host answers at {listen} yet: see its services' logs"]
    if answer is Answer.ANOTHER:
        return [f"another program listens at {listen}: end it, or choose another `[tls] enrolment`"]
    return []


def _checked(check: Callable[[], list[str]]) -> list[str]:
    try:
        return check()
    except (UsbshareError, OSError, ValueError) as error:
        why = " ".join(str(error).split())
        return [f"cannot check whether the invitation can be used: {why}"]
