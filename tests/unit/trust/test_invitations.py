"""The invitations of a host: each good for one use, and for its time."""

from __future__ import annotations

import multiprocessing
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from usbshare.base.errors import ConfigError, PermissionDeniedError
from usbshare.trust import invitations
from usbshare.trust.invitation import token_hash
from usbshare.trust.invitations import KEEP, Given

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TOKEN = b"0123456789abcdef"
LASTING = timedelta(minutes=10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    invitations.add(
        tmp_path / "i.json", Given(token_hash(TOKEN), "office-pc", "operators", NOW + LASTING), NOW
    )
    return tmp_path / "i.json"


def take_in_child(path: Path, start: object, results: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    try:
        invitations.take(path, TOKEN, NOW, "192.0.2.7")
    except PermissionDeniedError:
        results.put(False)  # type: ignore[attr-defined]
    else:
        results.put(True)  # type: ignore[attr-defined]


def test_a_token_counts_once(path: Path) -> None:
    assert invitations.take(path, TOKEN, NOW, "192.0.2.7").name == "office-pc"
    with pytest.raises(PermissionDeniedError, match=r"already used at 00:00:00 UTC from 192\.0"):
        invitations.take(path, TOKEN, NOW, "192.0.2.8")


def test_of_several_processes_one_gets_it(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    children = [
        context.Process(target=take_in_child, args=(path, start, results)) for _ in range(3)
    ]
    for child in children:
        child.start()
    start.set()
    found = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join(60)
    assert sorted(found) == [False, False, True]


def test_looking_at_it_does_not_use_it_up(path: Path) -> None:
    for _ in range(3):
        assert invitations.find(path, TOKEN, NOW).role == "operators"


def test_an_invitation_ends_at_its_time(path: Path) -> None:
    invitations.find(path, TOKEN, NOW + LASTING - timedelta(seconds=1))
    with pytest.raises(PermissionDeniedError, match="expired at 2030-01-01 00:10:00 UTC"):
        invitations.find(path, TOKEN, NOW + LASTING)


@pytest.mark.parametrize("token", [b"", b"0", b"0123456789abcdeF", b"x" * 1000])
def test_another_token_is_unknown(path: Path, token: bytes) -> None:
    with pytest.raises(PermissionDeniedError, match="does not know the invitation"):
        invitations.find(path, token, NOW)


def test_a_withdrawn_one_counts_no_more(path: Path) -> None:
    assert invitations.withdraw(path, "office-pc", NOW) == ["office-pc"]
    assert invitations.withdraw(path, "office-pc", NOW) == []
    with pytest.raises(PermissionDeniedError, match="withdrawn"):
        invitations.take(path, TOKEN, NOW, "192.0.2.7")


def test_the_file_has_no_token_and_is_the_owners_only(path: Path) -> None:
    assert TOKEN not in path.read_bytes()
    assert TOKEN.hex() not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_old_ones_are_forgotten(path: Path) -> None:
    later = NOW + LASTING + KEEP
    invitations.add(path, Given("0" * 64, "other", "viewers", later + LASTING), later)
    assert [each.name for each in invitations.read_invitations(path)] == ["other"]


@pytest.mark.parametrize("text", ["", "[]", '{"invitations": [{}]}', '{"invitations": [1]}'])
def test_a_damaged_file_admits_no_caller(tmp_path: Path, text: str) -> None:
    path = tmp_path / "invitations.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="invite again"):
        invitations.find(path, TOKEN, NOW)
