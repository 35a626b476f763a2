"""Who was seen: noted cheaply, written now and then, never in the way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.waiting import until
from usbshare.enrolment import last_seen as seen_module
from usbshare.enrolment.last_seen import MOST_IDENTITIES, Seen, Sighting, last_seen

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAMAGED = (
    "",
    "[]",
    '{"a": 1}',
    '{"a": ["x", "y"]}',
    '{"a": ["2026-01-01T00:00:00", "a naive time"]}',
    '{"a": ["0001-01-01T00:00:00+14:00", "before all time"]}',
    '{"a": ["2026-01-01T00:00:00Z", 5]}',
    '{"a": [5, "x"]}',
    '{"a": ["2026-01-01T00:00:00Z", "x"], "b": null}',
    "[" * 100_000,
    '{"a": ' + "9" * 10_000 + "}",
)


def seen_by(folder: Path, service: str, now: datetime = NOW) -> Seen:
    return Seen(folder, service, lambda: now)


def test_the_newest_sighting_of_all_services_counts(tmp_path: Path) -> None:
    later = NOW + timedelta(hours=1)
    for service, now in (("serial-svc", later), ("camera-svc", NOW)):
        seen = seen_by(tmp_path, service, now)
        seen.note("usbshare://s/a", f"{service}:1")
        seen.write()
    assert last_seen(tmp_path) == {"usbshare://s/a": Sighting(later, "serial-svc:1")}


async def test_sightings_are_written_at_the_end_and_known_afterwards(tmp_path: Path) -> None:
    for name in ("a", "b"):
        seen = seen_by(tmp_path, "serial-svc")
        keeping = asyncio.create_task(seen.keep(), name="keep")
        await asyncio.sleep(0)
        seen.note(name, "192.0.2.7:1")
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
    assert last_seen(tmp_path).keys() == {"a", "b"}


def test_a_file_is_written_only_for_new_sightings(tmp_path: Path) -> None:
    seen_by(tmp_path, "serial-svc").write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "seen").write_text("a file")
    seen = seen_by(tmp_path, "serial-svc")
    seen.note("a", "192.0.2.7:1")
    seen.write()


def test_an_invalid_sighting_is_ignored(tmp_path: Path) -> None:
    folder = tmp_path / "seen"
    folder.mkdir()
    for number, text in enumerate(DAMAGED):
        (folder / f"{number}.json").write_text(text)
    assert last_seen(tmp_path) == {}


@pytest.mark.parametrize("damage", DAMAGED)
def test_invalid_content_is_rewritten(tmp_path: Path, damage: str) -> None:
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "serial-svc.json").write_text(damage)
    seen = seen_by(tmp_path, "serial-svc")
    seen.note("usbshare://s/b", "192.0.2.7:1")
    seen.write()
    assert last_seen(tmp_path) == {"usbshare://s/b": Sighting(NOW, "192.0.2.7:1")}


def test_a_name_that_no_file_can_hold_does_no_harm(tmp_path: Path) -> None:
    seen = seen_by(tmp_path, "serial-svc")
    seen.note("\ud800", "192.0.2.7:1")
    seen.write()
    assert last_seen(tmp_path).keys() == {"\ud800"}


async def test_the_renewal_loop_survives_any_failure_and_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(seen_module, "WRITE_EVERY_S", 0.01)
    seen = seen_by(tmp_path, "serial-svc")
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(seen_module, "read_sightings", fail)
        seen.note("a", "192.0.2.7:1")
        keeping = asyncio.create_task(seen.keep(), name="keep")
        await until(lambda: "the last calls are not recorded" in caplog.text)
    seen.note("b", "192.0.2.7:1")
    await until(lambda: last_seen(tmp_path).keys() == {"a", "b"})
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


def fail(_: Path) -> None:
    raise RuntimeError("nobody thought of this")


def test_memory_is_bounded(tmp_path: Path) -> None:
    seen = seen_by(tmp_path, "serial-svc")
    for number in range(MOST_IDENTITIES + 5):
        seen.note(str(number), "")
    seen.write()
    found = last_seen(tmp_path)
    assert len(found) == MOST_IDENTITIES
    assert "0" not in found
