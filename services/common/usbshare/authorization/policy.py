"""The policy of a host: who may do what, as `policy.toml` says."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, StringConstraints, ValidationError, model_validator

from usbshare.authorization.policy_tables import (
    ANYBODY,
    AllowedDevice,
    GrantTable,
    LimitsTable,
    Who,
)
from usbshare.authorization.rights import SITE, Resource, ResourceKind, Right, implied
from usbshare.authorization.schedule import (
    Window,
    end_of,
    end_of_window,
    parse_duration_s,
    parse_hours,
)
from usbshare.base.config import Table, explain_mistakes
from usbshare.base.errors import ConfigError, UnreadableError
from usbshare.base.plain_file import read_plain
from usbshare.trust.names import SCHEME

__all__ = ["TEMPLATE", "AllowedDevice", "Decision", "LimitsTable", "Policy", "load_policy"]

POLICY_FILE = "policy.toml"
TEMPLATE = """\
# Who may do what on this host. Changes take effect at once, on open connections too.

devices = "any"             # "listed": only USB devices that [[allowed_devices]] names are offered
jobs = "any"                # "granted": the host's own job-svc needs [[grants]] as well
audit = "warn"              # "required": refuse control, and invitations from afar, while the
                            # audit log cannot be written

[groups]                    # names as `pki list` shows them, or whole identities
admins = ["operator"]
operators = []
viewers = []

# rights: view (and stop), stop, control (and view, stop), admin (and view, stop)
# who: groups, names, or "*" for every identity of the site
# ports, cameras: patterns, ["*"] where absent, [] for none
# usb: patterns of ids of USB devices that usb-svc lends as a whole, none where absent
# until = 2026-12-31T18:00:00              local time, or with an offset, or a date
# hours = ["Mon-Fri 08:00-18:00"]          local time of this host
# confirm = "totp"                         a code from an authenticator app at arming ...
# confirm_for = "8h"                       ... which is valid for this long

[[grants]]
who = ["admins"]
rights = ["control", "admin"]
usb = ["*"]

[[grants]]
who = ["operators"]
rights = ["control"]

[[grants]]
who = ["viewers"]
rights = ["view"]
"""

EVERYTHING = "*"
# What a second factor is for, where a grant asks for one.
CONFIRMED = frozenset({Right.CONTROL, Right.ADMIN})

GroupName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an identity may do something now.

    `missing`: what it lacks, in words. `confirm_for_s`: how long a second factor counts, None
    where none is needed. `until`: when the answer may become no automatically.
    """

    allowed: bool
    missing: str = ""
    confirm_for_s: float | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Grant:
    """A grant with its groups and times worked out."""

    members: frozenset[str]
    rights: frozenset[Right]
    ports: tuple[str, ...]
    cameras: tuple[str, ...]
    usb: tuple[str, ...]
    confirm_for_s: float | None
    ends: datetime | None
    windows: tuple[Window, ...]
    times: str = field(default="", compare=False)

    def is_for(self, name: str, short: str) -> bool:
        return name in self.members or (
            bool(short) and (short in self.members or ANYBODY in self.members)
        )

    def covers(self, resource: Resource) -> bool:
        if resource.kind is ResourceKind.SITE:
            return EVERYTHING in self.ports and EVERYTHING in self.cameras
        if resource.kind is ResourceKind.SERVICE or not resource.id:
            return bool(self.patterns(resource.kind))
        return any(fnmatchcase(resource.id, each) for each in self.patterns(resource.kind))

    def counts(self, now: datetime) -> tuple[bool, datetime | None]:
        """Return whether it counts now, and when that ends."""
        if self.ends is not None and now >= self.ends:
            return False, None
        if not self.windows:
            return True, self.ends
        closes = end_of_window(self.windows, now)
        return closes is not None, _first(closes, self.ends)

    def includes(self, right: Right, kind: ResourceKind, pattern: str, other: _Grant) -> bool:
        """Return whether it gives the right for good on all that a pattern can mean.

        And that for no more codes of a second factor than another grant asks for.
        """
        is_for_good = self.ends is None and not self.windows
        covers = self._covers_all(kind, pattern)
        is_given = is_for_good and right in self.rights and covers
        return is_given and (right not in CONFIRMED or self._is_as_easy_as(other))

    def everything(self, right: Right) -> Iterator[tuple[ResourceKind, str]]:
        """Yield all that it gives a right on: patterns by kind, and the site, which has none."""
        for kind in (ResourceKind.PORT, ResourceKind.CAMERA, ResourceKind.DEVICE):
            for pattern in self.patterns(kind):
                yield kind, pattern
        if right is Right.ADMIN and self.covers(SITE):  # nothing else counts there
            yield ResourceKind.SITE, ""

    def _covers_all(self, kind: ResourceKind, pattern: str) -> bool:
        if kind is ResourceKind.SITE:
            return self.covers(SITE)
        held = self.patterns(kind)
        return EVERYTHING in held or pattern in held

    def _is_as_easy_as(self, other: _Grant) -> bool:
        own, others = self.confirm_for_s, other.confirm_for_s
        return own is None or (others is not None and own >= others)

    def patterns(self, kind: ResourceKind) -> tuple[str, ...]:
        """Return the patterns of what it is for, of one kind or of all."""
        by_kind = {
            ResourceKind.PORT: self.ports,
            ResourceKind.CAMERA: self.cameras,
            ResourceKind.DEVICE: self.usb,
        }
        return by_kind.get(kind, self.ports + self.cameras + self.usb)


class Policy(Table):
    """`policy.toml`: who may do what, on which devices, within which limits."""

    devices: Literal["any", "listed"] = "any"
    audit: Literal["warn", "required"] = "warn"
    jobs: Literal["any", "granted"] = "any"
    groups: dict[GroupName, list[Who]] = Field(default_factory=dict)
    grants: list[GrantTable] = Field(default_factory=list)
    limits: LimitsTable = Field(default_factory=LimitsTable)
    allowed_devices: list[AllowedDevice] = Field(default_factory=list)
    _grants: tuple[_Grant, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _no_group_in_a_group(self) -> Policy:
        for group, members in self.groups.items():
            if nested := self.groups.keys() & set(members):
                raise ValueError(
                    f"groups.{group} contains the group '{min(nested)}': list its members instead"
                )
        return self

    def model_post_init(self, context: Any) -> None:
        """Precompute what each call needs."""
        self._grants = tuple(_worked_out(grant, self.groups) for grant in self.grants)

    def decide(
        self, name: str, site: str, right: Right, resource: Resource, now: datetime
    ) -> Decision:
        """Return whether the identity may do that now; the easiest of its grants counts."""
        held = [each for each in self._held_by(name, site, resource) if right in each.rights]
        valid = [(each, until) for each, (counts, until) in _timed(held, now) if counts]
        if not valid:
            times = ", or ".join(each.times for each in held)
            return Decision(
                False, f"{right.value}, which it has only {times}" if held else right.value
            )
        unconfirmed = [(each, until) for each, until in valid if each.confirm_for_s is None]
        if right in CONFIRMED and not unconfirmed:
            longest = max(each.confirm_for_s or 0.0 for each, _ in valid)
            return Decision(True, confirm_for_s=longest, until=_last(end for _, end in valid))
        return Decision(True, until=_last(end for _, end in unconfirmed or valid))

    def rights(self, name: str, site: str, resource: Resource, now: datetime) -> frozenset[Right]:
        """Return what the identity may do with the resource now."""
        held = self._held_by(name, site, resource)
        return frozenset[Right]().union(
            *(each.rights for each, (counts, _) in _timed(held, now) if counts)
        )

    def exceeds(self, name: str, other: str, site: str, now: datetime) -> frozenset[Right]:
        """Return the rights that one identity has somewhere where the other has not.

        What the other has only for a time counts only for a grant that both share. A right that
        needs no code, or needs one less often, is more than the same right with codes.
        """
        own = [each for each in self._grants if each.is_for(other, _short(other, site))]
        own = [each for each in own if each.counts(now)[0]]
        given = [each for each in self._grants if each.is_for(name, _short(name, site))]
        return frozenset[Right]().union(*(_beyond(each, own) for each in given))

    def longest_confirmation_s(self, name: str, site: str) -> float:
        """Return for how long a second factor of the identity can count; 0 where none is asked."""
        grants = [each for each in self._grants if each.is_for(name, _short(name, site))]
        return max((each.confirm_for_s or 0.0 for each in grants), default=0.0)

    def _held_by(self, name: str, site: str, resource: Resource) -> list[_Grant]:
        short = _short(name, site)
        return [each for each in self._grants if each.is_for(name, short) and each.covers(resource)]


def load_policy(path: Path) -> Policy:
    """Read a policy; without a file it is the template's. What a file leaves out gives nothing.

    ConfigError has a line for each mistake.
    """
    return read_policy(path)[0]


def read_policy(path: Path) -> tuple[Policy, bytes | None]:
    """Return the policy and the bytes it was read from, None without a file; raises as above."""
    try:
        found = read_plain(path)
        text = found.decode("utf-8-sig")
    except FileNotFoundError:
        return parse_policy(path, TEMPLATE), None
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse_policy(path, text), found


def gives_more(policy: Policy, before: Policy) -> bool:
    """Return whether a policy that is the one before cut short may give more than that.

    It does not if it lacks whole grants and devices only. A grant that has lost its last keys has
    lost its ports, hours or second factor, and limits that are gone are the default's.
    """
    is_less = all(
        now == then[: len(now)]
        for now, then in (
            (policy.grants, before.grants),
            (policy.allowed_devices, before.allowed_devices),
        )
    )
    rest = ("devices", "audit", "jobs", "limits")
    return not is_less or any(getattr(policy, key) != getattr(before, key) for key in rest)


def parse_policy(path: Path, text: str) -> Policy:
    """Read the text of a policy; ConfigError whatever is wrong with it."""
    try:
        return Policy.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ConfigError(explain_mistakes(path, error, Policy)) from None
    except RecursionError:
        raise ConfigError(f"{path}: tables or lists are nested too deeply") from None
    except (ValueError, OverflowError) as error:  # no TOML, or a number that is none
        raise ConfigError(f"{path}: {error}") from error


def _short(name: str, site: str) -> str:
    own = f"{SCHEME}{site}/"
    return name.removeprefix(own) if site and name.startswith(own) else ""


def _beyond(given: _Grant, own: list[_Grant]) -> frozenset[Right]:
    """Return the rights of a grant that none of the own ones has on all that it is for."""
    return frozenset(
        right
        for right in given.rights
        if any(
            not any(each is given or each.includes(right, kind, pattern, given) for each in own)
            for kind, pattern in given.everything(right)
        )
    )


def _timed(
    grants: list[_Grant], now: datetime
) -> list[tuple[_Grant, tuple[bool, datetime | None]]]:
    return [(each, each.counts(now)) for each in grants]


def _worked_out(table: GrantTable, groups: dict[str, list[Who]]) -> _Grant:
    members = frozenset(name for who in table.who for name in groups.get(who, [who]))
    return _Grant(
        members=members,
        rights=frozenset[Right]().union(*map(implied, table.rights)),
        ports=tuple(table.ports),
        cameras=tuple(table.cameras),
        usb=tuple(table.usb),
        confirm_for_s=parse_duration_s(table.confirm_for) if table.confirm else None,
        ends=None if table.until is None else end_of(table.until),
        windows=tuple(map(parse_hours, table.hours or ())),
        times=_times_in_words(table),
    )


def _times_in_words(table: GrantTable) -> str:
    hours = " and ".join(table.hours or ())
    until = "" if table.until is None else f"until {table.until}"
    return " ".join(part for part in (hours, until) if part)


def _first(*moments: datetime | None) -> datetime | None:
    return min((each for each in moments if each is not None), default=None)


def _last(moments: Any) -> datetime | None:
    """Return the last of the moments; None among them is never."""
    found = list(moments)
    return None if None in found or not found else max(found)
