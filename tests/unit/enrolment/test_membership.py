"""Roles are groups of the policy: whose name may go where."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from usbshare.authorization.policy import TEMPLATE, Policy, load_policy
from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.enrolment.membership import (
    as_member,
    move,
    rehearse_move,
    require_usable_name,
    rights_in_words,
    role_of,
)

SITE = "0123456789ab"
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


@pytest.fixture
def policy(path: Path) -> Policy:
    return load_policy(path)


@pytest.mark.parametrize("text", ["operator", "operators"])
def test_a_role_is_a_group_singular_or_plural(policy: Policy, text: str) -> None:
    assert role_of(policy, text) == "operators"


def test_an_unknown_role_names_those_there_are(policy: Policy) -> None:
    with pytest.raises(InvalidArgumentError, match="it has: admins, operators, viewers"):
        role_of(policy, "boss")


@pytest.mark.parametrize("name", ["office-pc", "a", "7", "x" * 63, "me@pc.local"])
def test_usable_names(policy: Policy, name: str) -> None:
    require_usable_name(policy, name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "Office", "a b", "x" * 64, "../x", "usbshare://a/b", "*", "ä", "a\n", "-x"),
        *("operator", "host", "insecure", "admins", "operators"),
    ],
)
def test_unusable_names(policy: Policy, name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        require_usable_name(policy, name)


def test_a_missing_policy_is_made_of_the_template(path: Path) -> None:
    move(path, "office-pc", "", "operators")
    assert load_policy(path).groups["operators"] == ["office-pc"]
    assert TEMPLATE.splitlines()[0] in path.read_text()


def test_a_name_is_put_there_once(path: Path) -> None:
    for _ in range(2):
        move(path, "office-pc", "operators", "operators")
    assert load_policy(path).groups["operators"] == ["office-pc"]


def test_another_role_takes_the_former_away_and_leaves_the_rest(path: Path) -> None:
    path.write_text('[groups]\noperators = ["a", "b"] # the crew\nviewers = []\nmine = ["a"]\n')
    move(path, "a", "operators", "viewers")
    groups = load_policy(path).groups
    assert groups == {"operators": ["b"], "viewers": ["a"], "mine": ["a"]}
    assert "# the crew" in path.read_text()


def test_a_former_role_that_is_gone_does_no_harm(path: Path) -> None:
    move(path, "a", "guests", "viewers")
    assert load_policy(path).groups["viewers"] == ["a"]


def test_a_bad_policy_stays_as_it_is(path: Path) -> None:
    path.write_text("nonsense = 1\n")
    with pytest.raises(ConfigError):
        move(path, "a", "", "viewers")
    assert path.read_text() == "nonsense = 1\n"


def test_a_needed_second_factor_is_reported(path: Path) -> None:
    path.write_text('[[grants]]\nwho = ["*"]\nrights = ["control", "admin"]\nconfirm = "totp"\n')
    words = rights_in_words(load_policy(path), f"usbshare://{SITE}/a", SITE, NOW)
    assert words == "view, stop, control with a second factor, admin with a second factor"


def test_the_promised_rights_are_those_that_are_granted(path: Path, policy: Policy) -> None:
    uri = f"usbshare://{SITE}/a"
    move(path, "a", "", "operators")
    promised = as_member(load_policy(path), "a", "operators", "viewers")
    assert rights_in_words(promised, uri, SITE, NOW) == "view, stop"
    move(path, "a", "operators", "viewers")
    assert rights_in_words(load_policy(path), uri, SITE, NOW) == "view, stop"
    assert rights_in_words(policy, uri, SITE, NOW) == "nothing"


LIMITED = "[limits]\nconnections = 9\n"
GRANTED = '[[grants]]\nwho = ["operators"]\nrights = ["stop"]\n'


@pytest.mark.parametrize("text", ["", "# mine", LIMITED, GRANTED, GRANTED + LIMITED])
def test_groups_that_are_left_out_are_none(path: Path, text: str) -> None:
    path.write_text(text)
    for change in (rehearse_move, move):
        with pytest.raises(ConfigError, match="no group 'operators'"):
            change(path, "office-pc", "", "operators")
    assert path.read_text() == text


@pytest.mark.parametrize(
    "text", ["groups = {operators = []}\n", "groups.operators = []\ngroups.viewers = []\n"]
)
def test_groups_may_be_written_in_other_ways(path: Path, text: str) -> None:
    path.write_text(text)
    move(path, "office-pc", "", "operators")
    assert load_policy(path).groups["operators"] == ["office-pc"]


def test_a_group_that_is_gone_is_reported(path: Path) -> None:
    path.write_text("[groups]\nviewers = []\n")
    for change in (rehearse_move, move):
        with pytest.raises(ConfigError, match="no group 'operators'"):
            change(path, "office-pc", "", "operators")


def test_a_rehearsal_reports_what_would_fail_and_leaves_nothing(path: Path) -> None:
    rehearse_move(path, "office-pc", "", "operators")
    assert not list(path.parent.iterdir())
    path.symlink_to(path.parent / "gone" / "policy.toml")
    with pytest.raises(ConfigError, match="cannot be changed"):
        rehearse_move(path, "office-pc", "", "operators")
