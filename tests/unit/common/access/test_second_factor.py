"""Codes of authenticator apps: which count, how often, and who has confirmed."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from fakes.clock import FakeClock
from usbshare.common.access.second_factor import MOST_WRONG, WRONG_WITHIN_S, SecondFactors
from usbshare.common.errors import ConfigError, LimitError, PermissionDeniedError

ANNA = "usbshare://0123456789ab/anna"
NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def factors(tmp_path: Path, clock: FakeClock) -> SecondFactors:
    return SecondFactors(tmp_path / "site" / "totp.json", clock)


def app_of(uri: str) -> pyotp.TOTP:
    return pyotp.TOTP(parse_qs(urlsplit(uri).query)["secret"][0])


def test_the_app_learns_it_by_a_uri(factors: SecondFactors) -> None:
    uri = urlsplit(factors.make(ANNA))
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/usbshare:anna")
    assert factors.has(ANNA)
    assert not factors.has(ANNA + "2")


def test_the_secrets_are_their_owners_only(factors: SecondFactors, tmp_path: Path) -> None:
    factors.make(ANNA)
    assert stat.S_IMODE((tmp_path / "site" / "totp.json").stat().st_mode) == 0o600


def test_a_code_confirms_from_then_on(factors: SecondFactors, clock: FakeClock) -> None:
    app = app_of(factors.make(ANNA))
    assert factors.confirmed_ago_s(ANNA) is None
    factors.check(ANNA, app.at(NOW), NOW)
    clock.advance(5)
    assert factors.confirmed_ago_s(ANNA) == 5
    factors.forget(ANNA)
    assert factors.confirmed_ago_s(ANNA) is None


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_clocks_may_differ_by_a_step(factors: SecondFactors, steps: int) -> None:
    app = app_of(factors.make(ANNA))
    factors.check(ANNA, app.at(NOW, counter_offset=steps), NOW)


@pytest.mark.parametrize("steps", [-2, 2])
def test_clocks_may_not_differ_by_more(factors: SecondFactors, steps: int) -> None:
    app = app_of(factors.make(ANNA))
    with pytest.raises(PermissionDeniedError, match="wrong"):
        factors.check(ANNA, app.at(NOW, counter_offset=steps), NOW)


def test_a_code_counts_once_on_all_services_of_the_host(
    factors: SecondFactors, tmp_path: Path, clock: FakeClock
) -> None:
    app = app_of(factors.make(ANNA))
    factors.check(ANNA, app.at(NOW), NOW)
    for again in (factors, SecondFactors(tmp_path / "site" / "totp.json", clock)):
        with pytest.raises(PermissionDeniedError, match="used already"):
            again.check(ANNA, app.at(NOW), NOW)
    with pytest.raises(PermissionDeniedError, match="used already"):
        factors.check(ANNA, app.at(NOW, counter_offset=-1), NOW)
    factors.check(ANNA, app.at(NOW, counter_offset=1), NOW + timedelta(seconds=30))


@pytest.mark.parametrize("code", ["", "abc", "12345", "1234567", "٣٤٥٦٧٨"])
def test_what_is_no_code_is_wrong(factors: SecondFactors, code: str) -> None:
    factors.make(ANNA)
    with pytest.raises(PermissionDeniedError, match="wrong"):
        factors.check(ANNA, code, NOW)


def test_guessing_ends_after_five_and_a_right_code_waits_too(
    factors: SecondFactors, clock: FakeClock
) -> None:
    app = app_of(factors.make(ANNA))
    for _ in range(MOST_WRONG):
        with pytest.raises(PermissionDeniedError):
            factors.check(ANNA, "x", NOW)
    with pytest.raises(LimitError, match="wait a minute"):
        factors.check(ANNA, app.at(NOW), NOW)
    clock.advance(WRONG_WITHIN_S + 1)
    factors.check(ANNA, app.at(NOW), NOW)


def test_somebody_elses_guesses_do_not_matter(factors: SecondFactors) -> None:
    app = app_of(factors.make(ANNA))
    for _ in range(MOST_WRONG):
        with pytest.raises(PermissionDeniedError, match="no second factor"):
            factors.check(ANNA + "2", "123456", NOW)
    factors.check(ANNA, app.at(NOW), NOW)


def test_a_damaged_file_is_told(factors: SecondFactors, tmp_path: Path) -> None:
    factors.make(ANNA)
    (tmp_path / "site" / "totp.json").write_text("[]", encoding="ascii")
    with pytest.raises(ConfigError, match="damaged"):
        factors.check(ANNA, "123456", NOW)
