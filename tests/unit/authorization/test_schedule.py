"""Dates, weekday hours and durations of grants, in the host's local time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from usbshare.authorization.schedule import (
    duration_in_words,
    end_of,
    end_of_window,
    parse_duration_s,
    parse_hours,
)

MONDAY = datetime(2026, 11, 16)


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


@pytest.mark.parametrize(
    ("hours", "moment", "end"),
    [
        ("Mon-Fri 08:00-18:00", at(0, 8), at(0, 18)),
        ("Mon-Fri 08:00-18:00", at(0, 7, 59), None),
        ("Mon-Fri 08:00-18:00", at(4, 17, 59), at(4, 18)),
        ("Mon-Fri 08:00-18:00", at(4, 18), None),
        ("Mon-Fri 08:00-18:00", at(5, 12), None),
        ("08:00-18:00", at(6, 12), at(6, 18)),
        ("sat,SUN 10:00-24:00", at(6, 23, 59), at(7, 0)),
        ("Sat-Mon 10:00-11:00", at(0, 10), at(0, 11)),
        ("Sat-Mon 10:00-11:00", at(1, 10), None),
        ("Fri 22:00-06:00", at(4, 22), at(5, 6)),
        ("Fri 22:00-06:00", at(5, 5, 59), at(5, 6)),
        ("Fri 22:00-06:00", at(4, 5), None),
        ("Sun 22:00-06:00", at(0, 5), at(0, 6)),
    ],
)
def test_a_window_is_open_at_its_hours_only(
    hours: str, moment: datetime, end: datetime | None
) -> None:
    assert parse_hours(hours).end(moment) == end


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Mon",
        "Mon-Fri",
        "8-18",
        "Mon 08:00",
        "Mon 08:60-09:00",
        "Mon 25:00-26:00",
        "Mon 08:00-",
        "Foo 08:00-09:00",
        "Mon- 08:00-09:00,",
        "Mon 08:00-08:00",
        "Mon 24:00-06:00",
        "-1:00-02:00",
    ],
)
def test_hours_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any text that people understand
        parse_hours(text)


def test_the_last_of_the_windows_that_are_open_counts() -> None:
    windows = [parse_hours("08:00-12:00"), parse_hours("10:00-14:00"), parse_hours("15:00-16:00")]
    assert end_of_window(windows, at(0, 11).astimezone()) == at(0, 14).astimezone()
    assert end_of_window(windows, at(0, 14).astimezone()) is None


def test_hours_are_the_hosts_whatever_zone_the_question_is_in() -> None:
    seven_utc = datetime(2026, 11, 16, 7, tzinfo=UTC)  # 08:00 in Berlin
    assert end_of_window([parse_hours("Mon 08:00-09:00")], seven_utc) is not None


def test_a_night_of_25_hours_is_as_long_as_its_clock_says() -> None:
    saturday_evening = datetime(2026, 10, 24, 22, 30, tzinfo=timezone(timedelta(hours=2)))
    end = end_of_window([parse_hours("Sat 22:00-06:00")], saturday_evening)
    assert end == datetime(2026, 10, 25, 5, tzinfo=UTC)  # 06:00 of winter time


@pytest.mark.parametrize(
    ("until", "end"),
    [
        (date(2026, 12, 31), datetime(2026, 12, 31, 23, tzinfo=UTC)),
        (datetime(2026, 12, 31, 18), datetime(2026, 12, 31, 17, tzinfo=UTC)),
        (datetime(2026, 7, 1, 18, tzinfo=UTC), datetime(2026, 7, 1, 18, tzinfo=UTC)),
    ],
)
def test_a_date_lasts_to_its_midnight_and_a_time_is_local(until: date, end: datetime) -> None:
    assert end_of(until) == end


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("10 min", 600), ("1.5h", 5400), ("2d", 172800)],
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "-1h", "0h", "8 hours", "1e3s"])
def test_durations_without_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a duration"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(28_800, "8 h"), (172_800, "2 d"), (90, "90 s"), (600, "10 m"), (1.5, "1.5 s")],
)
def test_durations_are_reported_in_their_largest_unit(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone cannot be set")
@pytest.mark.parametrize(
    ("hours", "utc", "end"),
    [
        # On 2026-10-25 at 01:00 UTC it is 02:00 once more.
        ("22:00-02:30", "00:20", "00:30"),
        ("22:00-02:30", "00:40", None),
        ("22:00-02:30", "01:20", None),
        ("22:00-03:30", "01:20", "02:30"),
        ("02:15-05:00", "00:20", "04:00"),
        ("02:15-05:00", "01:05", "04:00"),
    ],
)
def test_of_the_hour_that_comes_twice_the_first_counts(
    in_berlin: None, hours: str, utc: str, end: str | None
) -> None:
    def moment(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-10-25T{text}:00+00:00")

    found = end_of_window([parse_hours(hours)], moment(utc))
    assert found == (None if end is None else moment(end))
