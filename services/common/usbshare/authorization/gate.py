"""The gate: who calls, what they may do now, and until when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from usbshare.audit.recorder import Audit
from usbshare.authorization.permit import Permit, Permits
from usbshare.authorization.policy import Decision
from usbshare.authorization.rights import (
    SERVICE,
    Resource,
    ResourceKind,
    Right,
    implied,
    shown_id,
)
from usbshare.authorization.rulebook import Rulebook
from usbshare.authorization.schedule import duration_in_words
from usbshare.authorization.second_factor import SecondFactors, no_second_factor
from usbshare.base.errors import (
    AuditUnavailableError,
    ConfirmationNeededError,
    PermissionDeniedError,
    RulesUnavailableError,
    UsbshareError,
)
from usbshare.rpc.identity import INSECURE, CallContext, Identity, peer_identity
from usbshare.trust.names import identity_uri, short_name

DISCOVERY = "discovery-svc"
# The services' own client certificate: they announce themselves and ask for health with it.
HOST = "host"
SERIAL, JOBS = "serial-svc", "job-svc"
_HOST_RIGHTS = implied(Right.CONTROL)
_VERBS = {Right.ADMIN: "administer"}


@dataclass(frozen=True, slots=True)
class Granted:
    """What an identity may do with one resource now; `to_confirm` only after a second factor."""

    resource: Resource
    rights: tuple[Right, ...]
    to_confirm: tuple[Right, ...] = ()
    until: datetime | None = None


class Gate:
    """Asks the rulebook, at each call, and again while streams last; of one event loop."""

    def __init__(
        self,
        rulebook: Rulebook,
        second_factors: SecondFactors,
        audit: Audit,
        now: Callable[[], datetime],
        service: str,
    ) -> None:
        self._rulebook = rulebook
        self._second_factors = second_factors
        self._audit = audit
        self._now = now
        self._service = service
        self._permits = Permits(now)
        self._host = identity_uri(rulebook.site_id, HOST)
        self._jobs = identity_uri(rulebook.site_id, JOBS)

    def follow_rules(self) -> Callable[[], None]:
        """Ask again for open permits when the rules change, until what is returned is called."""
        return self._rulebook.subscribe(self._permits.rules_changed)

    def time_passed(self) -> None:
        """Ask again for open permits that may have ended by time alone."""
        self._permits.time_passed()

    def caller(self, context: CallContext) -> Identity:
        """Return who calls; PermissionDeniedError says why its certificate does not count."""
        caller = self.identity(context)
        self.require_valid(caller)
        return caller

    def identity(self, context: CallContext) -> Identity:
        """Return who calls, revoked or not; PermissionDeniedError if the certificate is bad."""
        return peer_identity(context, self._rulebook.site_id, self._now())

    def check(
        self, caller: Identity, right: Right | None, resource: Resource, *, arms: bool = False
    ) -> datetime | None:
        """Return until when the caller may do that at least, None if nothing is known to end it.

        `right` None: any identity may. With `arms`, a second factor must have been confirmed.
        Raises PermissionDeniedError, ConfirmationNeededError, AuditUnavailableError or
        RulesUnavailableError.
        """
        self._require_current(caller, right)
        until = self.require(caller, right, resource)
        if caller.name != INSECURE and right is not None:
            self._require_audit(right, resource)
            if arms:
                self._require_confirmation(caller, right, resource)
        return until

    def permit(
        self, caller: Identity, right: Right | None, resource: Resource, *, arms: bool = False
    ) -> Permit:
        """Return an async context whose body may run for as long as the caller has the right.

        What is needed only to begin, a second factor and the audit log, is not asked for again.
        """
        return Permit(
            self._permits,
            lambda: self.check(caller, right, resource, arms=arms),
            lambda: self.require(caller, right, resource),
        )

    def permit_to_stay(self, caller: Identity, right: Right, resource: Resource) -> Permit:
        """Return the same for what was begun before: that needs the right alone."""

        def stays() -> datetime | None:
            return self.require(caller, right, resource)

        return Permit(self._permits, stays, stays)

    def may(self, caller: Identity, right: Right, resource: Resource) -> bool:
        """Return whether the caller has the right now."""
        return self._decide(caller.name, right, resource).allowed

    def visible(self, caller: Identity, kind: ResourceKind, ids: Iterable[str]) -> list[str]:
        """Return those of the ids that the caller may view."""
        return [each for each in ids if self.may(caller, Right.VIEW, Resource(kind, each))]

    def known_to(self, caller: Identity, kind: ResourceKind, ids: Iterable[str]) -> list[str]:
        """Return those of the ids that exist for the caller: what it may stop at least, sorted."""
        return sorted(each for each in ids if self.may(caller, Right.STOP, Resource(kind, each)))

    def grants(
        self, caller: Identity, offered: Mapping[ResourceKind, Iterable[str]]
    ) -> list[Granted]:
        """Return what the caller may do with each of what is offered, and where it may anything."""
        resources = [Resource(kind, each) for kind, ids in offered.items() for each in sorted(ids)]
        found = (self._granted(caller, each) for each in resources or [SERVICE])
        return [each for each in found if each.rights]

    def confirmed_until(self, caller: Identity) -> datetime | None:
        """Return until when the caller's second factor counts; None if it does not."""
        policy, site = self._rulebook.policy, self._rulebook.site_id
        ago_s = self._second_factors.confirmed_ago_s(caller.name)
        if ago_s is None:
            return None
        left_s = policy.longest_confirmation_s(caller.name, site) - ago_s
        return self._now() + timedelta(seconds=left_s) if left_s > 0 else None

    def confirm(self, caller: Identity, code: str) -> None:
        """Take the caller's code; see SecondFactors.check. Blocks, may run in any thread."""
        self._second_factors.check(caller.name, code, self._now())

    def _granted(self, caller: Identity, resource: Resource) -> Granted:
        decisions = {right: self._decide(caller.name, right, resource) for right in Right}
        allowed = {right: each for right, each in decisions.items() if each.allowed}
        to_confirm = [r for r, each in allowed.items() if not self._is_confirmed(caller, each)]
        until = min((d.until for d in allowed.values() if d.until is not None), default=None)
        return Granted(resource, tuple(allowed), tuple(to_confirm), until)

    def require(self, caller: Identity, right: Right | None, resource: Resource) -> datetime | None:
        """Raise PermissionDeniedError without the right, all that staying takes; see `check`."""
        self.require_valid(caller)
        until = caller.expires
        if right is not None:
            self._require_rules(caller, right, resource)
            decision = self._decide(caller.name, right, resource)
            if not decision.allowed:
                why = self._why_not(caller, right, resource, decision)
                raise _refusal(PermissionDeniedError, resource, why)
            until = min((t for t in (until, decision.until) if t is not None), default=None)
        return until

    def require_audit_to_let_in(self) -> None:
        """Raise AuditUnavailableError where an invitation needs the audit log; see the policy."""
        if trouble := self._trouble_that_counts():
            raise AuditUnavailableError(
                f"cannot invite anybody while the audit log cannot be written "
                f"({trouble}); identities can still be revoked and invitations withdrawn"
            )

    def require_valid(self, caller: Identity) -> None:
        """Raise PermissionDeniedError if the caller's certificate is revoked or has expired."""
        name = short_name(caller.name, self._rulebook.site_id)
        if self._rulebook.is_revoked(caller.name, caller.issued, caller.serial):
            self._second_factors.forget(caller.name)
            raise PermissionDeniedError(
                f"the certificate of {name} is revoked: enrol this computer with a new invitation"
            )
        if caller.expires is not None and self._now() > caller.expires:
            raise PermissionDeniedError(
                f"the certificate of {name} expired on {caller.expires:%Y-%m-%d %H:%M} UTC: "
                "renew it, or enrol this computer again"
            )

    def _require_current(self, caller: Identity, right: Right | None) -> None:
        """Raise the alarm if the certificate was renewed; PermissionDeniedError but for a stop."""
        book = self._rulebook
        if not caller.serial:
            return
        use = (caller.name, caller.serial, caller.address, caller.fingerprint)
        if book.is_awaited(caller.serial):
            book.uses.first(*use)
        if not book.is_void(caller.serial, self._now()):
            return
        book.uses.void(*use)
        if right is not Right.STOP:
            raise PermissionDeniedError(
                f"this certificate of {short_name(caller.name, book.site_id)} was renewed and "
                "its successor is in use, so it is no longer valid. If this computer does not "
                "have the new one, its file was copied: tell the host's operator, and enrol "
                "with a new invitation"
            )

    def _decide(self, name: str, right: Right, resource: Resource) -> Decision:
        if name == INSECURE:
            return Decision(True)
        if name == self._host:
            of_discovery = self._service == DISCOVERY and resource.kind is ResourceKind.SERVICE
            return Decision(of_discovery and right in _HOST_RIGHTS, right.value)
        book = self._rulebook
        if book.is_closed and right is not Right.STOP:
            return Decision(False, right.value)
        if name == self._jobs and self._is_for_jobs(resource) and right in _HOST_RIGHTS:
            return Decision(True)
        return book.policy.decide(name, book.site_id, right, resource, self._now())

    def _is_for_jobs(self, resource: Resource) -> bool:
        """Whether this host's own job service may use that without a grant."""
        is_serial = self._service == SERIAL and resource.kind is not ResourceKind.CAMERA
        return is_serial and self._rulebook.policy.jobs == "any"

    def _why_not(
        self, caller: Identity, right: Right, resource: Resource, decision: Decision
    ) -> str:
        held = [r.value for r in Right if self._decide(caller.name, r, resource).allowed]
        name = short_name(caller.name, self._rulebook.site_id)
        return (
            f"{name} may not {_VERBS.get(right, right.value)} {resource}: it lacks the right to "
            f"{decision.missing} and has {', '.join(held) or 'none'}; the host's policy.toml "
            "grants rights"
        )

    def _require_rules(self, caller: Identity, right: Right, resource: Resource) -> None:
        of_policy = caller.name not in {INSECURE, self._host}
        if self._rulebook.is_closed and of_policy and right is not Right.STOP:
            raise _refusal(
                RulesUnavailableError,
                resource,
                f"cannot {_VERBS.get(right, right.value)} {resource}: this host cannot read its "
                "access rules (see its service's log); a stop is always possible",
            )

    def _require_audit(self, right: Right, resource: Resource) -> None:
        if right is Right.CONTROL and (trouble := self._trouble_that_counts()):
            raise _refusal(
                AuditUnavailableError,
                resource,
                f"cannot control {resource} while the audit log cannot be written ({trouble}); "
                "a stop is always possible",
            )

    def _trouble_that_counts(self) -> str:
        """Return why the audit log cannot be written where the policy requires that it can."""
        return self._audit.trouble if self._rulebook.policy.audit == "required" else ""

    def _require_confirmation(self, caller: Identity, right: Right, resource: Resource) -> None:
        decision = self._decide(caller.name, right, resource)
        if self._is_confirmed(caller, decision):
            return
        name = short_name(caller.name, self._rulebook.site_id)
        verb = _VERBS.get(right, right.value)
        if self._second_factors.is_missing(caller.name):
            why = f"a second factor is required to {verb} {resource}; {no_second_factor(name)}"
            raise _refusal(PermissionDeniedError, resource, why)
        raise _refusal(
            ConfirmationNeededError,
            resource,
            f"to {verb} {resource}, {name} needs a code from its authenticator app: give "
            f"it with --code; it is valid for {duration_in_words(decision.confirm_for_s or 0)}",
        )

    def _is_confirmed(self, caller: Identity, decision: Decision) -> bool:
        if decision.confirm_for_s is None:
            return True
        ago_s = self._second_factors.confirmed_ago_s(caller.name)
        return ago_s is not None and ago_s < decision.confirm_for_s


def _refusal(kind: type[UsbshareError], resource: Resource, why: str) -> UsbshareError:
    error = kind(why)
    error.about = shown_id(resource.id)
    return error
