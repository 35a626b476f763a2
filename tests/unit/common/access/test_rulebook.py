"""The rules follow their files, and what is wrong changes nothing."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from usbshare.common.access.rights import SERVICE, Right
from usbshare.common.access.rulebook import Rulebook
from usbshare.common.errors import ConfigError
from usbshare.common.pki.identities import registry_path, revoke

SITE = "0123456789ab"
PC = f"usbshare://{SITE}/pc"
GRANT = '[[grants]]\nwho = ["pc"]\nrights = ["{}"]\n'


class Notes:
    """Remembers what was noted."""

    trouble = ""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def note(
        self, event: str, *, who: str = "", address: str = "", port: str = "", **fields: object
    ) -> None:
        self.events.append((event, fields))


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def book(tmp_path: Path, notes: Notes) -> Rulebook:
    book = Rulebook(tmp_path, SITE, notes)
    book.policy_path.write_text(GRANT.format("view"), encoding="ascii")
    book.load()
    return book


def may(book: Rulebook, right: Right) -> bool:
    return book.policy.decide(PC, SITE, right, SERVICE, datetime.now(UTC)).allowed


async def looks(book: Rulebook, times: int) -> None:
    for _ in range(times):
        await book.look()


async def test_a_change_counts_once_it_has_stayed_for_a_look(book: Rulebook) -> None:
    heard: list[bool] = []
    book.subscribe(lambda: heard.append(may(book, Right.CONTROL)))
    book.policy_path.write_text(GRANT.format("control"), encoding="ascii")
    await book.look()
    assert heard == []
    await book.look()
    assert heard == [True]
    await looks(book, 3)
    assert heard == [True]


async def test_a_file_that_is_half_written_for_a_moment_costs_nobody_a_right(
    book: Rulebook, tmp_path: Path
) -> None:
    heard: list[None] = []
    book.subscribe(lambda: heard.append(None))
    book.policy_path.write_text("", encoding="ascii")
    await book.look()
    book.policy_path.write_text(GRANT.format("view") + "# more\n", encoding="ascii")
    await looks(book, 2)
    assert len(heard) == 1
    assert may(book, Right.VIEW)


async def test_a_file_that_is_gone_for_a_moment_costs_nobody_a_right(
    book: Rulebook, tmp_path: Path
) -> None:
    before = book.policy
    aside = book.policy_path.rename(tmp_path / "aside")
    await book.look()
    aside.rename(book.policy_path)
    await looks(book, 3)
    assert book.policy is before


async def test_a_file_that_stays_away_is_the_default(book: Rulebook) -> None:
    book.policy_path.unlink()
    await looks(book, 2)
    assert not may(book, Right.VIEW)


async def test_a_policy_with_mistakes_keeps_the_old_one_and_says_why_once(
    book: Rulebook, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    book.policy_path.write_text(GRANT.format("contol"), encoding="ascii")
    await looks(book, 4)
    assert may(book, Right.VIEW)
    assert [event for event, _ in notes.events] == ["policy refused"]
    assert "'contol'" in str(notes.events[0][1]["reason"])
    assert caplog.text.count("stays as it was") == 1
    book.policy_path.write_text(GRANT.format("control"), encoding="ascii")
    await looks(book, 2)
    assert may(book, Right.CONTROL)
    assert [event for event, _ in notes.events] == ["policy refused", "policy changed"]


async def test_a_change_of_the_same_size_and_time_is_seen(book: Rulebook) -> None:
    before = book.policy_path.stat()
    other = book.policy_path.with_name("other")
    other.write_text(GRANT.format("stop"), encoding="ascii")
    os.utime(other, ns=(before.st_mtime_ns, before.st_mtime_ns))
    other.replace(book.policy_path)
    await looks(book, 2)
    assert not may(book, Right.VIEW)


def test_a_policy_with_mistakes_keeps_a_service_from_starting(book: Rulebook) -> None:
    book.policy_path.write_text("[[grants]]", encoding="ascii")
    with pytest.raises(ConfigError, match=r"grants\.0\.who: missing"):
        book.load()


async def test_a_revocation_counts_at_the_first_look(book: Rulebook, tmp_path: Path) -> None:
    heard: list[None] = []
    book.subscribe(lambda: heard.append(None))
    now = datetime.now(UTC)
    assert not book.is_revoked(PC, now)
    (tmp_path / "site").mkdir(exist_ok=True)
    revoke(registry_path(tmp_path), PC, "lost", now)
    await book.look()
    assert book.is_revoked(PC, now)
    assert book.is_revoked(PC, now - timedelta(days=1))
    assert not book.is_revoked(PC, now + timedelta(seconds=1)), "it was enrolled again"
    assert not book.is_revoked(PC + "2", now)
    assert len(heard) == 1


async def test_a_damaged_registry_keeps_who_is_revoked(
    book: Rulebook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    (tmp_path / "site").mkdir(exist_ok=True)
    revoke(registry_path(tmp_path), PC, "lost", now)
    await book.look()
    registry_path(tmp_path).write_text("{", encoding="ascii")
    await looks(book, 3)
    assert book.is_revoked(PC, now)
    assert caplog.text.count("stays as it was") == 1


async def test_nobody_is_called_back_after_unsubscribing(book: Rulebook) -> None:
    heard: list[None] = []
    book.subscribe(lambda: heard.append(None))()
    book.policy_path.write_text(GRANT.format("control"), encoding="ascii")
    await looks(book, 2)
    assert heard == []
