"""What policies say, whom they give what, and how their mistakes are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from usbshare.authorization import policy as policy_module
from usbshare.authorization.policy import TEMPLATE, Decision, Policy, load_policy, parse_policy
from usbshare.authorization.policy_file import edit_policy
from usbshare.authorization.rights import SERVICE, Resource, ResourceKind, Right
from usbshare.base.errors import ConfigError

SITE = "0123456789ab"
WHOLE = Resource(ResourceKind.SITE)
NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
LASER, MILL = Resource(ResourceKind.PORT, "laser"), Resource(ResourceKind.PORT, "mill")
BED = Resource(ResourceKind.CAMERA, "bed")


def uri(name: str, site: str = SITE) -> str:
    return f"usbshare://{site}/{name}"


def policy(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return load_policy(path)


def rights(policy: Policy, name: str, resource: Resource = LASER, now: datetime = NOW) -> str:
    held = policy.rights(name, SITE, resource, now)
    each = "".join(r.value[0] for r in Right if policy.decide(name, SITE, r, resource, now).allowed)
    assert each == "".join(right.value[0] for right in Right if right in held)
    return each


def mistakes(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        policy(tmp_path, text)
    return str(raised.value)


def test_without_a_file_the_operator_may_do_everything_and_others_nothing(
    tmp_path: Path,
) -> None:
    default = load_policy(tmp_path / "policy.toml")
    assert rights(default, uri("operator")) == "vsca"
    assert rights(default, uri("operator"), SERVICE) == "vsca"
    assert rights(default, uri("office-pc")) == ""
    assert rights(default, uri("operator", "another0site")) == ""
    assert default.devices == "any"
    assert default.audit == "warn"
    assert default.limits.commands_per_s == 5_000


def test_the_template_is_a_valid_policy(tmp_path: Path) -> None:
    assert policy(tmp_path, TEMPLATE) == load_policy(tmp_path / "none.toml")


@pytest.mark.parametrize("text", ["", "# mine", 'devices = "listed"', '[groups]\nadmins = ["pc"]'])
def test_a_truncated_file_grants_no_one_what_the_template_does(tmp_path: Path, text: str) -> None:
    assert rights(policy(tmp_path, text), uri("operator")) == ""


def test_a_grant_to_a_group_missing_from_the_file_does_not_apply_to_the_template(
    tmp_path: Path,
) -> None:
    text = '[[grants]]\nwho = ["admins"]\nrights = ["control"]'
    assert rights(policy(tmp_path, text), uri("operator")) == ""


def test_no_grants_give_no_rights(tmp_path: Path) -> None:
    assert rights(policy(tmp_path, "grants = []"), uri("operator")) == ""


@pytest.mark.parametrize(
    ("granted", "held"),
    [("view", "vs"), ("stop", "s"), ("control", "vsc"), ("admin", "vsa")],
)
def test_rights_include_others(tmp_path: Path, granted: str, held: str) -> None:
    text = f'[[grants]]\nwho = ["pc"]\nrights = ["{granted}"]'
    assert rights(policy(tmp_path, text), uri("pc")) == held


@pytest.mark.parametrize(
    ("who", "matches"),
    [
        ("pc", [uri("pc")]),
        ("people", [uri("anna"), uri("pc"), uri("guest", "another0site")]),
        ("*", [uri("anna"), uri("pc"), uri("other")]),
        (uri("guest", "another0site"), [uri("guest", "another0site")]),
    ],
)
def test_a_grant_is_for_names_groups_or_everybody_of_the_site(
    tmp_path: Path, who: str, matches: list[str]
) -> None:
    everybody = [uri("anna"), uri("pc"), uri("other"), uri("guest", "another0site")]
    text = f'''
        [groups]
        people = ["anna", "{uri("pc")}", "{uri("guest", "another0site")}"]
        [[grants]]
        who = ["{who}"]
        rights = ["view"]
    '''
    found = policy(tmp_path, text)
    assert [each for each in everybody if rights(found, each)] == matches


def test_ports_and_cameras_are_patterns_and_none_is_none(tmp_path: Path) -> None:
    text = """
        [[grants]]
        who = ["pc"]
        rights = ["control"]
        ports = ["las*"]
        cameras = []
        [[grants]]
        who = ["pc"]
        rights = ["view"]
        ports = []
        cameras = ["bed"]
    """
    found = policy(tmp_path, text)
    assert rights(found, uri("pc"), LASER) == "vsc"
    assert rights(found, uri("pc"), MILL) == ""
    assert rights(found, uri("pc"), BED) == "vs"
    assert rights(found, uri("pc"), SERVICE) == "vsc", "the right on any of them"


def test_patterns_do_not_match_without_regard_to_case(tmp_path: Path) -> None:
    found = policy(tmp_path, '[[grants]]\nwho = ["pc"]\nrights = ["view"]\nports = ["LASER"]')
    assert rights(found, uri("pc"), LASER) == ""


def test_a_grant_ends_at_its_time(tmp_path: Path) -> None:
    text = '[[grants]]\nwho = ["pc"]\nrights = ["view"]\nuntil = 2026-11-18T12:30:00Z'
    found, end = policy(tmp_path, text), NOW + timedelta(minutes=30)
    just_before = end - timedelta(microseconds=1)
    assert found.decide(uri("pc"), SITE, Right.VIEW, LASER, just_before) == Decision(
        True, until=end
    )
    over = found.decide(uri("pc"), SITE, Right.VIEW, LASER, end)
    assert not over.allowed
    assert over.missing == "view, which it has only until 2026-11-18 12:30:00+00:00"


def test_of_several_grants_the_one_counts_that_lasts_longest(tmp_path: Path) -> None:
    text = """
        [[grants]]
        who = ["pc"]
        rights = ["view"]
        until = 2026-11-18T12:30:00Z
        [[grants]]
        who = ["*"]
        rights = ["view"]
        until = 2026-11-18T12:40:00Z
    """
    found = policy(tmp_path, text).decide(uri("pc"), SITE, Right.VIEW, LASER, NOW)
    assert found.until == NOW + timedelta(minutes=40)


def test_a_second_factor_is_asked_for_control_unless_another_grant_asks_for_none(
    tmp_path: Path,
) -> None:
    with_code = """
        [[grants]]
        who = ["pc"]
        rights = ["control"]
        confirm = "totp"
        confirm_for = "2h"
    """
    free = '[[grants]]\nwho = ["pc"]\nrights = ["control"]\nports = ["mill"]'
    found = policy(tmp_path, with_code + free)
    assert found.decide(uri("pc"), SITE, Right.CONTROL, LASER, NOW).confirm_for_s == 7200
    assert found.decide(uri("pc"), SITE, Right.CONTROL, MILL, NOW).confirm_for_s is None
    assert found.decide(uri("pc"), SITE, Right.STOP, LASER, NOW).confirm_for_s is None
    assert found.longest_confirmation_s(uri("pc"), SITE) == 7200


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    text = """
        device = "any"
        [groups]
        "a b" = []
        people = ["two words"]
        [[grants]]
        who = []
        rights = ["contol"]
        until = "tomorrow"
        hours = ["Mon 8-9"]
        [[grants]]
        who = ["pc"]
        rights = ["control"]
        confirm = "sms"
        [limits]
        streams = 0
        [[allowed_devices]]
        vid = "xyz"
    """
    told = mistakes(tmp_path, text)
    for part in ("device: no such key", "groups.a b", "'two words': not a group", "'contol'"):
        assert part in told
    for part in ("write a date", "write days and hours", "'sms'", "limits.streams", "four hex"):
        assert part in told
    assert "accepted: allowed_devices, audit, devices, grants, groups, jobs, limits" in told
    assert len(told.splitlines()) == 10


GRANT = '[[grants]]\nwho = ["a"]\nrights = ["control"]\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[groups]\na = ["b"]\nb = []', "contains the group 'b'"),
        (
            '[[grants]]\nwho = ["a"]\nrights = ["view"]\nconfirm = "totp"',
            "rights control and admin",
        ),
        (
            '[[grants]]\nwho = ["a"]\nrights = ["control"]\nconfirm_for = "1h"',
            "confirm_for requires confirm",
        ),
        ("[[allowed_devices]]\nnote = 'any'", "give vid, pid"),
        ("[[grants]", "policy.toml"),
        (GRANT + "until = 9999-12-31", "grants.0.until"),
        (GRANT + "until = 0001-01-01T00:00:00+14:00", "the date is out of range"),
        (GRANT + 'confirm = "totp"\nconfirm_for = "9999999999d"', "at most 36500 d"),
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("[limits]\nconnections = " + "9" * 5000, "policy.toml: Exceeds the limit"),
        ("[limits]\nrequests_per_s = 0.3", "limits.requests_per_s"),
    ],
)
def test_a_policy_with_a_contradiction_is_reported_and_stays(
    tmp_path: Path, text: str, why: str
) -> None:
    assert why in mistakes(tmp_path, text)
    before = (tmp_path / "policy.toml").read_bytes()
    with pytest.raises(ConfigError):
        edit_policy(tmp_path / "policy.toml", lambda _: None)
    assert (tmp_path / "policy.toml").read_bytes() == before


def test_a_policy_that_cannot_be_looked_at_is_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(policy_module, "read_plain", refuse)
    with pytest.raises(ConfigError, match="Permission denied"):
        load_policy(tmp_path / "policy.toml")


def test_a_policy_may_begin_with_the_mark_of_windows_editors(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("\ufeff" + TEMPLATE, encoding="utf-8")
    assert load_policy(path).groups["admins"] == ["operator"]


CODE = 'confirm = "totp"'


@pytest.mark.parametrize(
    ("own", "given", "beyond"),
    [
        ('rights = ["admin"]', 'rights = ["view"]', set()),
        ('rights = ["admin"]', 'rights = ["control"]', {Right.CONTROL}),
        ('rights = ["control"]\nports = ["laser"]', 'rights = ["view"]', {Right.VIEW, Right.STOP}),
        ('rights = ["control"]', 'rights = ["control"]\nports = ["l*"]', set()),
        (
            'rights = ["control"]\nports = ["l*"]',
            'rights = ["stop"]\nports = ["l*"]\ncameras = []',
            set(),
        ),
        ('rights = ["view"]\nhours = ["Mon-Sun 00:00-24:00"]', 'rights = ["stop"]', {Right.STOP}),
        ('rights = ["view"]\nuntil = 2999-01-01', 'rights = ["stop"]', {Right.STOP}),
        ('rights = ["view"]', 'rights = ["stop"]\nusb = ["press"]', {Right.STOP}),
        (f'rights = ["control"]\n{CODE}', 'rights = ["control"]', {Right.CONTROL}),
        (f'rights = ["admin"]\n{CODE}', 'rights = ["admin"]', {Right.ADMIN}),
        (f'rights = ["control"]\n{CODE}', f'rights = ["control"]\n{CODE}', set()),
        (
            f'rights = ["control"]\n{CODE}',
            f'rights = ["control"]\n{CODE}\nconfirm_for = "9h"',
            {Right.CONTROL},
        ),
        (
            f'rights = ["control"]\n{CODE}',
            f'rights = ["control"]\n{CODE}\nconfirm_for = "7h"',
            set(),
        ),
        ('rights = ["control"]', f'rights = ["control"]\n{CODE}', set()),
        (f'rights = ["control"]\n{CODE}', 'rights = ["view"]', set()),
        (
            f'rights = ["control"]\n{CODE}\n[[grants]]\nwho = ["inviter"]\nrights = ["admin"]',
            'rights = ["control"]\nports = ["laser"]',
            {Right.CONTROL},
        ),
        (
            'rights = ["admin"]\ncameras = []\n[[grants]]\nwho = ["inviter"]\n'
            'rights = ["admin"]\nports = []',
            'rights = ["admin"]',
            {Right.ADMIN},  # of the site, for which it takes one grant of both
        ),
        (
            'rights = ["control"]\ncameras = []\n[[grants]]\nwho = ["inviter"]\n'
            'rights = ["control"]\nports = []',
            'rights = ["control"]',
            set(),
        ),
        (
            f'rights = ["admin"]\n{CODE}\n[[grants]]\nwho = ["inviter"]\nrights = ["admin"]\n'
            'cameras = []\n[[grants]]\nwho = ["inviter"]\nrights = ["admin"]\nports = []',
            'rights = ["admin"]',
            {Right.ADMIN},
        ),
    ],
)
def test_rights_beyond_those_of_another_identity_are_found(
    tmp_path: Path, own: str, given: str, beyond: set[Right]
) -> None:
    text = f'[[grants]]\nwho = ["inviter"]\n{own}\n[[grants]]\nwho = ["new"]\n{given}\n'
    policy = parse_policy(tmp_path / "policy.toml", text)
    new, inviter = "usbshare://site/new", "usbshare://site/inviter"
    assert policy.exceeds(new, inviter, "site", datetime(2026, 6, 1, 12, tzinfo=UTC)) == beyond


def test_rights_of_one_shared_grant_are_not_beyond_another_identity(tmp_path: Path) -> None:
    text = '[[grants]]\nwho = ["new", "inviter"]\nrights = ["view"]\nuntil = 2999-01-01\n'
    policy = parse_policy(tmp_path / "policy.toml", text)
    new, inviter = "usbshare://site/new", "usbshare://site/inviter"
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert policy.exceeds(new, inviter, "site", now) == frozenset()


def test_a_site_is_administered_by_one_grant_on_everything(tmp_path: Path) -> None:
    def administers(more: str) -> bool:
        text = f'[[grants]]\nwho = ["x"]\nrights = ["admin"]\n{more}'
        policy = parse_policy(tmp_path / "policy.toml", text)
        now = datetime(2026, 6, 1, tzinfo=UTC)
        return policy.decide("usbshare://site/x", "site", Right.ADMIN, WHOLE, now).allowed

    assert administers("")
    assert administers('ports = ["laser", "*"]')
    assert not administers('ports = ["laser"]')
    assert not administers("cameras = []")
