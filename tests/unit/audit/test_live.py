"""The newest lines of all logs, then what is added, however slow the reader is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from usbshare.audit import live
from usbshare.audit.files import LogFiles
from usbshare.audit.live import LiveLogs
from usbshare.audit.reader import Selection
from usbshare.audit.rotating_writer import Appender

START = datetime(2026, 1, 1, tzinfo=UTC)


class Writer:
    """Writes numbered events into logs, a second apart."""

    def __init__(self, folder: Path, max_bytes: int = 10_000_000) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.count = 0
        self.appenders: dict[str, Appender] = {}

    def note(self, log: str, event: str, **fields: object) -> None:
        self.count += 1
        time = (START + timedelta(seconds=self.count)).isoformat(timespec="milliseconds")[:23]
        made = Appender(LogFiles(self.folder, log), self.max_bytes, 100)
        appender = self.appenders.setdefault(log, made)
        appender.append([{"time": f"{time}Z", "event": event, **fields}])


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "audit")


class Readers:
    """Makes readers of the writer's logs, and closes them."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.made: list[LiveLogs] = []

    def __call__(self, **selected: Any) -> LiveLogs:
        self.made.append(LiveLogs(self.writer.folder, Selection(**selected), lambda _: None))
        return self.made[-1]


@pytest.fixture
def reader(writer: Writer) -> Iterator[Readers]:
    readers = Readers(writer)
    yield readers
    for each in readers.made:
        each.close()


def events(news: live.News) -> list[str]:
    return [str(each["event"]) for each in news.entries]


def test_the_newest_lines_of_all_logs_come_in_order(writer: Writer, reader: Readers) -> None:
    for number in range(6):
        writer.note(("serial-svc", "pki")[number % 2], f"e{number}")
    assert events(reader().newest(4)) == ["e2", "e3", "e4", "e5"]


def test_then_come_new_lines_also_of_a_new_log(writer: Writer, reader: Readers) -> None:
    writer.note("serial-svc", "old")
    logs = reader()
    logs.newest(10)
    assert logs.news() == live.News(())
    writer.note("serial-svc", "new")
    writer.note("camera-svc", "first")
    assert events(logs.news()) == ["new", "first"]
    assert events(logs.news()) == []


def test_no_line_is_lost_or_doubled_where_files_are_put_aside(
    writer: Writer, reader: Readers
) -> None:
    writer.max_bytes = 1000
    logs = reader()
    assert events(logs.newest(10)) == []
    found: list[str] = []
    for number in range(60):
        writer.note("serial-svc", f"e{number}")
        if number % 3 == 0:
            news = logs.news()
            assert news.lost == 0
            found += events(news)
    found += events(logs.news())
    assert found == [f"e{number}" for number in range(60)]
    assert len(LogFiles(writer.folder, "serial-svc").all_full()) > 3


def test_lines_rotated_last_are_among_the_newest(writer: Writer, reader: Readers) -> None:
    writer.max_bytes = 1000
    for number in range(40):
        writer.note("serial-svc", f"e{number}")
    assert events(reader().newest(3)) == ["e37", "e38", "e39"]


def test_a_reader_too_far_behind_loses_a_counted_part(
    writer: Writer, reader: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_BEHIND_BYTES", 2000)
    writer.note("serial-svc", "old")
    logs = reader()
    logs.newest(10)
    for number in range(100):
        writer.note("serial-svc", f"e{number}")
    news = logs.news()
    assert events(news)[-1] == "e99"
    assert news.lost > 0
    assert news.lost + len(news.entries) == 100


def test_too_many_at_once_are_lost_and_counted(
    writer: Writer, reader: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_AT_ONCE", 5)
    logs = reader()
    logs.newest(10)
    for number in range(8):
        writer.note("serial-svc", f"e{number}")
    news = logs.news()
    assert (events(news), news.lost) == ([f"e{number}" for number in range(3, 8)], 3)


def test_lines_are_chosen_by_who_port_event_and_text(writer: Writer, reader: Readers) -> None:
    writer.note("serial-svc", "stop", who="usbshare://x/anna", port="laser")
    writer.note("serial-svc", "rearm", who="usbshare://x/ben", port="mill")
    writer.note("pki", "revoked", who="local:root", identity="usbshare://x/ben")
    assert events(reader(who="anna").newest(9)) == ["stop"]
    assert events(reader(port="m*").newest(9)) == ["rearm"]
    assert events(reader(event="re*").newest(9)) == ["rearm", "revoked"]
    assert events(reader(text="BEN").newest(9)) == ["rearm", "revoked"]
    assert events(reader(text="pki").newest(9)) == ["revoked"]


def test_a_line_that_is_written_in_two_parts_comes_once(writer: Writer, reader: Readers) -> None:
    writer.note("serial-svc", "old")
    logs = reader()
    logs.newest(10)
    current = LogFiles(writer.folder, "serial-svc").current
    with current.open("ab") as file:
        file.write(b'{"time": "2026-01-01T01:00:00.000Z", "ev')
        file.flush()
        assert events(logs.news()) == []
        file.write(b'ent": "late", "seq": 2}\n')
    assert events(logs.news()) == ["late"]


def test_an_unreadable_line_is_left_out(writer: Writer, reader: Readers) -> None:
    writer.note("serial-svc", "good")
    current = LogFiles(writer.folder, "serial-svc").current
    with current.open("ab") as file:
        file.write(b"\xff\xfe not a line\n[1]\n" + b'{"seq": "x", "event": 3}\n')
    assert events(reader().newest(9)) == ["3", "good"]


def test_a_folder_without_logs_is_empty(writer: Writer, reader: Readers) -> None:
    assert reader().newest(5) == live.News(())


def test_the_reader_rests_in_between(writer: Writer) -> None:
    for number in range(120):
        writer.note("serial-svc", f"e{number}")
    rests: list[float] = []
    logs = LiveLogs(writer.folder, Selection(), rests.append)
    logs.newest(5)
    logs.close()
    assert len(rests) == 2
