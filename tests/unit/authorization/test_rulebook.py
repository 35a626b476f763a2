"""The rules follow their files, and what is wrong changes nothing."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.certificates import make_site
from fakes.clock import FakeClock
from fakes.waiting import until
from usbshare.authorization import rule_file_thread as followed_module
from usbshare.authorization import rulebook as rulebook_module
from usbshare.authorization.policy import gives_more, parse_policy
from usbshare.authorization.rights import SERVICE, Right
from usbshare.authorization.rulebook import CLOSES_AFTER_S, Rulebook
from usbshare.base.errors import ConfigError
from usbshare.base.file_watch import FileWatch
from usbshare.trust import identities
from usbshare.trust.identities import registry_path, revoke

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


def fail(error: Exception) -> Callable[..., Any]:
    def raise_it(*_: object, **__: object) -> Any:
        raise error

    return raise_it


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


async def test_a_file_that_is_briefly_half_written_costs_no_right(
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


async def test_a_file_that_is_briefly_missing_costs_no_right(
    book: Rulebook, tmp_path: Path
) -> None:
    before = book.policy
    aside = book.policy_path.rename(tmp_path / "aside")
    await book.look()
    aside.rename(book.policy_path)
    await looks(book, 3)
    assert book.policy is before


async def test_a_missing_policy_grants_nothing_more(
    book: Rulebook, caplog: pytest.LogCaptureFixture
) -> None:
    before = book.policy
    book.policy_path.unlink()
    await looks(book, 3)
    assert book.policy is before
    assert caplog.text.count("is gone: restore it, or restart the services") == 1
    assert not book.is_closed


LIMITED_GRANT = GRANT.format("control") + 'ports = ["laser"]\nhours = ["Mon-Fri 08:00-18:00"]\n'
TWO_GRANTS = GRANT.format("view") + LIMITED_GRANT
LIMITS = "[limits]\nconnections = 2\n"


@pytest.mark.parametrize("text", [TWO_GRANTS, 'devices = "listed"\n' + TWO_GRANTS + LIMITS])
async def test_a_policy_that_is_cut_short_anywhere_never_gives_more(
    tmp_path: Path, notes: Notes, text: str
) -> None:
    before = parse_policy(tmp_path, text)
    ends = {*range(0, len(text), 9), *(match.start() + 1 for match in re.finditer("\n", text))}
    for end in sorted(ends - {len(text)}):
        book = Rulebook(tmp_path, SITE, notes)
        book.policy_path.write_text(text, encoding="ascii")
        book.load()
        book.policy_path.write_text(text[:end], encoding="ascii")
        await looks(book, 2)
        assert not gives_more(book.policy, before), text[:end]


async def test_a_policy_without_grants_gives_nothing_and_says_so(
    book: Rulebook, caplog: pytest.LogCaptureFixture
) -> None:
    book.policy_path.write_text('[groups]\nadmins = ["pc"]\n', encoding="ascii")
    await looks(book, 2)
    assert not may(book, Right.STOP)
    assert "has no [[grants]]: it grants no rights" in caplog.text


async def test_a_grant_removed_on_purpose_is_removed(book: Rulebook) -> None:
    book.policy_path.write_text(LIMITED_GRANT, encoding="ascii")
    await looks(book, 2)
    book.policy_path.write_text(GRANT.format("control") + "# at any time\n", encoding="ascii")
    await looks(book, 2)
    assert may(book, Right.CONTROL)


def test_a_registry_missing_at_the_start_readmits_no_one(tmp_path: Path, notes: Notes) -> None:
    site = make_site(tmp_path)
    registry_path(tmp_path).unlink()
    with pytest.raises(ConfigError, match="the revoked identities are unknown"):
        Rulebook(tmp_path, site.id, notes).load()


async def test_a_policy_with_mistakes_keeps_the_old_one_and_says_why_once(
    book: Rulebook, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    book.policy_path.write_text(GRANT.format("contol"), encoding="ascii")
    await looks(book, 4)
    assert may(book, Right.VIEW)
    assert [event for event, _ in notes.events] == ["policy refused"]
    assert "'contol'" in str(notes.events[0][1]["reason"])
    assert caplog.text.count("keeping the previous policy") == 1
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
    assert caplog.text.count("keeping the previous list") == 1


async def test_a_registry_that_could_not_be_read_for_a_moment_is_read_at_the_next_look(
    book: Rulebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    (tmp_path / "site").mkdir(exist_ok=True)
    revoke(registry_path(tmp_path), PC, "lost", now)
    with monkeypatch.context() as patch:
        patch.setattr(identities, "read_plain", fail(OSError(errno.EMFILE, "Too many open files")))
        await looks(book, 2)
        assert not book.is_revoked(PC, now)
    await book.look()
    assert book.is_revoked(PC, now)


async def test_a_missing_registry_readmits_no_one(
    book: Rulebook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    (tmp_path / "site").mkdir(exist_ok=True)
    revoke(registry_path(tmp_path), PC, "lost", now)
    await book.look()
    registry_path(tmp_path).unlink()
    await looks(book, 3)
    assert book.is_revoked(PC, now)
    assert caplog.text.count("is gone: restore it from a backup") == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
async def test_a_policy_that_cannot_be_looked_at_stays_and_it_is_said_why(
    book: Rulebook, notes: Notes, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", fail(OSError(number, os.strerror(number))))
        await looks(book, 4)
    assert may(book, Right.VIEW)
    assert [event for event, _ in notes.events] == ["policy refused"]
    assert os.strerror(number) in str(notes.events[0][1]["reason"])
    book.policy_path.write_text(GRANT.format("control"), encoding="ascii")
    await looks(book, 2)
    assert may(book, Right.CONTROL)


async def test_the_rules_are_followed_after_any_failure(
    book: Rulebook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rulebook_module, "TICK_S", 0.001)
    watch = FileWatch("files", look_s=0.01)
    calls: list[None] = []

    def after_look() -> None:
        calls.append(None)
        raise RuntimeError("a bug")

    following = asyncio.create_task(book.follow(watch, after_look))
    await until(lambda: len(calls) >= 3)
    assert not following.done()
    assert caplog.text.count("could not follow") == 1
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    watch.close()


async def test_each_change_of_the_policy_comes_into_force(book: Rulebook) -> None:
    watch = FileWatch("files")
    following = asyncio.create_task(book.follow(watch, lambda: None))
    book.policy_path.write_text(GRANT.format("control"), encoding="ascii")
    await until(lambda: may(book, Right.CONTROL))
    book.policy_path.write_text(GRANT.format("view"), encoding="ascii")
    await until(lambda: not may(book, Right.CONTROL))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    watch.close()


async def test_a_subscriber_that_fails_keeps_no_other_from_hearing(book: Rulebook) -> None:
    heard: list[None] = []
    book.subscribe(fail(RuntimeError("a bug")))
    book.subscribe(lambda: heard.append(None))
    book.policy_path.write_text(GRANT.format("control"), encoding="ascii")
    await looks(book, 2)
    assert len(heard) == 1


async def test_the_rules_do_not_wait_for_other_work_in_threads(book: Rulebook) -> None:
    busy = threading.Event()
    most = min(32, (os.cpu_count() or 1) + 4)
    others = [asyncio.create_task(asyncio.to_thread(busy.wait)) for _ in range(most)]
    try:
        book.policy_path.write_text(GRANT.format("control"), encoding="ascii")
        async with asyncio.timeout(60):
            await looks(book, 2)
        assert may(book, Right.CONTROL)
    finally:
        busy.set()
        await asyncio.gather(*others)


def test_the_hash_of_the_policy_is_known(book: Rulebook, tmp_path: Path) -> None:
    assert book.policy_sha256 == hashlib.sha256(book.policy_path.read_bytes()).hexdigest()
    book.policy_path.unlink()
    book.load()
    assert "there is no file" in book.policy_sha256


async def test_no_callback_is_called_after_unsubscribing(book: Rulebook) -> None:
    heard: list[None] = []
    book.subscribe(lambda: heard.append(None))()
    book.policy_path.write_text(GRANT.format("control"), encoding="ascii")
    await looks(book, 2)
    assert heard == []


# A file that cannot be read, and a disk that does not answer.


class Disk:
    """Lets reads of one module through, or holds them up."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()

    def read(self, path: Path) -> bytes:
        self.answers.wait()
        return path.read_bytes()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The disk that holds who is revoked; the policy's is another."""
    disk = Disk()
    monkeypatch.setattr(identities, "read_plain", disk.read)
    monkeypatch.setattr(followed_module, "LOOK_S", 0.01)
    yield disk
    disk.answers.set()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def watched(tmp_path: Path, notes: Notes, clock: FakeClock) -> Rulebook:
    book = Rulebook(tmp_path, SITE, notes, clock)
    book.policy_path.write_text(GRANT.format("control"), encoding="ascii")
    (tmp_path / "site").mkdir(exist_ok=True)
    revoke(registry_path(tmp_path), f"{PC}-2", "lost", datetime.now(UTC))
    book.load()
    return book


def is_closed(book: Rulebook) -> bool:
    return book.is_closed


async def looks_for(book: Rulebook, clock: FakeClock, seconds: float, step_s: float = 5.0) -> None:
    for _ in range(int(seconds / step_s)):
        clock.advance(step_s)
        await book.look()


@pytest.mark.parametrize("place", ["policy.toml", "site/identities.json"])
async def test_a_fifo_in_place_of_one_file_hides_no_change_of_the_other(
    watched: Rulebook, tmp_path: Path, place: str
) -> None:
    path = tmp_path / place
    path.unlink()
    os.mkfifo(path)
    async with asyncio.timeout(30):
        await looks(watched, 2)
    assert "it is not a regular file" in watched.trouble
    if place == "policy.toml":
        now = datetime.now(UTC)
        revoke(registry_path(tmp_path), PC, "stolen", now)
        await looks(watched, 1)
        assert watched.is_revoked(PC, now)
        assert may(watched, Right.CONTROL)
    else:
        watched.policy_path.write_text(GRANT.format("view"), encoding="ascii")
        await looks(watched, 2)
        assert not may(watched, Right.CONTROL)


async def test_a_disk_that_hangs_holds_up_neither_the_other_file_nor_what_time_ends(
    watched: Rulebook, hanging: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rulebook_module, "TICK_S", 0.001)
    hanging.answers.clear()
    revoke_as_another_process(tmp_path, PC)
    ticks: list[None] = []
    watch = FileWatch("files", look_s=0.01)
    following = asyncio.create_task(watched.follow(watch, lambda: ticks.append(None)))
    await until(lambda: watched._registry.is_looking)
    seen = len(ticks)
    watched.policy_path.write_text(GRANT.format("view"), encoding="ascii")
    await until(lambda: not may(watched, Right.CONTROL) and len(ticks) > seen + 3)
    assert not watched.is_revoked(PC, datetime.now(UTC))
    hanging.answers.set()
    await until(lambda: watched.is_revoked(PC, datetime.now(UTC)))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    watch.close()


async def test_rules_that_cannot_be_read_for_a_minute_are_closed_and_it_is_said(
    watched: Rulebook,
    hanging: Disk,
    tmp_path: Path,
    clock: FakeClock,
    notes: Notes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[bool] = []
    watched.subscribe(lambda: heard.append(watched.is_closed))
    hanging.answers.clear()
    revoke_as_another_process(tmp_path, PC)
    await looks_for(watched, clock, CLOSES_AFTER_S - 5)
    assert not is_closed(watched)
    assert "does not answer" in watched.trouble
    assert caplog.text.count("after 60 s only stops are allowed") == 1
    await looks_for(watched, clock, 10)
    assert is_closed(watched)
    assert heard == [True]
    assert caplog.text.count("only stops are allowed until it can be read") == 1
    assert [fields.get("closed") for event, fields in notes.events if "cannot" in event] == [
        False,
        True,
    ]
    hanging.answers.set()
    async with asyncio.timeout(30):
        while len(heard) < 2:
            await watched.look()
    assert heard == [True, False]
    assert watched.is_revoked(PC, datetime.now(UTC))
    assert watched.trouble == ""
    assert caplog.text.count("can be read again") == 1


async def test_a_file_that_cannot_be_read_closes_the_rules_and_one_with_mistakes_does_not(
    watched: Rulebook, clock: FakeClock
) -> None:
    watched.policy_path.write_text("[[grants]]", encoding="ascii")
    await looks_for(watched, clock, 2 * CLOSES_AFTER_S)
    assert not is_closed(watched)
    assert "grants.0.who: missing" in watched.trouble
    watched.policy_path.unlink()
    watched.policy_path.mkdir()
    await looks_for(watched, clock, CLOSES_AFTER_S + 5)
    assert is_closed(watched)


async def test_a_stalled_process_has_not_failed_to_read(
    watched: Rulebook, hanging: Disk, tmp_path: Path, clock: FakeClock
) -> None:
    hanging.answers.clear()
    revoke_as_another_process(tmp_path, PC)
    await watched.look()
    clock.advance(10 * CLOSES_AFTER_S)
    await watched.look()
    assert not is_closed(watched)


def revoke_as_another_process(folder: Path, uri: str) -> None:
    """Write the revocation without reading by way of the disk that hangs."""
    path = registry_path(folder)
    found = json.loads(path.read_bytes())
    record = {"name": "pc", "uri": uri, "revoked_at": "2126-01-01T00:00:00+00:00"}
    found["identities"].append(record)
    path.write_text(json.dumps(found), encoding="ascii")
