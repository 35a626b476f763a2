"""Codes of authenticator apps: which count, how often, and who has confirmed."""

from __future__ import annotations

import asyncio
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from fakes.clock import FakeClock
from fakes.waiting import until
from usbshare.authorization.lockout import FREE, LONGEST_PAUSE, MOST_WRONG, Guesses
from usbshare.authorization.second_factor import STEPS_AROUND, SecondFactors
from usbshare.base.errors import ConfigError, LimitError, PermissionDeniedError, UsbshareError
from usbshare.base.file_watch import FileWatch
from usbshare.base.paths import write_private

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


def test_the_app_gets_it_from_a_uri(factors: SecondFactors) -> None:
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
        with pytest.raises(PermissionDeniedError, match="already used"):
            again.check(ANNA, app.at(NOW), NOW)
    with pytest.raises(PermissionDeniedError, match="already used"):
        factors.check(ANNA, app.at(NOW, counter_offset=-1), NOW)
    factors.check(ANNA, app.at(NOW, counter_offset=1), NOW + timedelta(seconds=30))


@pytest.mark.parametrize("code", ["", "abc", "12345", "1234567", "٣٤٥٦٧٨"])
def test_a_text_that_is_not_a_code_is_wrong(factors: SecondFactors, code: str) -> None:
    factors.make(ANNA)
    with pytest.raises(PermissionDeniedError, match="wrong"):
        factors.check(ANNA, code, NOW)


def guess(factors: SecondFactors, now: datetime, code: str = "x") -> UsbshareError:
    with pytest.raises((PermissionDeniedError, LimitError)) as caught:
        factors.check(ANNA, code, now)
    return caught.value


def test_wrong_codes_are_answered_by_pauses_that_grow_and_a_right_one_waits_too(
    factors: SecondFactors,
) -> None:
    app, now, pauses = app_of(factors.make(ANNA)), NOW, []
    for wrong in range(1, MOST_WRONG):
        assert isinstance(guess(factors, now), PermissionDeniedError)
        pause = Guesses(wrong, now).left(now)
        pauses.append(pause.total_seconds())
        if pause:
            just_before = now + pause - timedelta(seconds=1)
            assert isinstance(guess(factors, just_before, app.at(just_before)), LimitError)
        now += pause
    assert pauses == [0, 0, 30, 60, 120, 240, 480, 960, 1920]
    factors.check(ANNA, app.at(now), now)


def path_of(factors: SecondFactors) -> Path:
    return factors._path


def test_ten_wrong_codes_in_a_row_lock_it_for_all_services_until_it_is_opened(
    factors: SecondFactors, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    app, now = app_of(factors.make(ANNA)), NOW
    for _ in range(MOST_WRONG):
        guess(factors, now)
        now += LONGEST_PAUSE
    assert "the second factor of anna is locked after 10 wrong codes" in caplog.text
    restarted = SecondFactors(path_of(factors), clock)
    now += timedelta(days=300)
    for each in (factors, restarted):
        assert "`serial-svc pki totp anna --unlock`" in str(guess(each, now, app.at(now)))
    assert SecondFactors(path_of(factors), clock).unlock(ANNA)
    factors.check(ANNA, app.at(now), now)
    assert not factors.unlock(ANNA)


def test_a_right_code_ends_the_row(factors: SecondFactors) -> None:
    app, now = app_of(factors.make(ANNA)), NOW
    for _ in range(3):
        for _ in range(MOST_WRONG - 1):
            guess(factors, now)
            now += LONGEST_PAUSE
        factors.check(ANNA, app.at(now), now)


def test_a_code_that_was_used_is_no_guess(factors: SecondFactors) -> None:
    app = app_of(factors.make(ANNA))
    factors.check(ANNA, app.at(NOW), NOW)
    for _ in range(2 * MOST_WRONG):
        assert "already used" in str(guess(factors, NOW, app.at(NOW)))
    factors.check(ANNA, app.at(NOW, counter_offset=1), NOW + timedelta(seconds=30))


def test_a_month_of_guessing_finds_it_as_good_as_never() -> None:
    assert MOST_WRONG * len(STEPS_AROUND) / 1_000_000 < 0.0001


def test_a_user_without_one_is_known_once_the_file_was_checked(factors: SecondFactors) -> None:
    assert not factors.is_missing(ANNA)
    factors.look()
    assert factors.is_missing(ANNA)
    factors.make(ANNA)
    factors.look()
    assert not factors.is_missing(ANNA)


@pytest.mark.parametrize("told", [{"wrong": "x"}, {"wrong": 3, "wrong_at": "then"}])
def test_a_count_that_makes_no_sense_is_locked(
    factors: SecondFactors, told: dict[str, object]
) -> None:
    app = app_of(factors.make(ANNA))
    found = json.loads(path_of(factors).read_bytes())
    found[ANNA].update(told)
    path_of(factors).write_text(json.dumps(found))
    assert "locked" in str(guess(factors, NOW, app.at(NOW)))


def test_a_clock_that_was_set_back_delays_no_caller(factors: SecondFactors) -> None:
    app = app_of(factors.make(ANNA))
    for _ in range(FREE + 1):
        guess(factors, NOW)
    earlier = NOW - timedelta(days=400)
    factors.check(ANNA, app.at(earlier), earlier)


def test_another_identitys_guesses_do_not_matter(factors: SecondFactors) -> None:
    app = app_of(factors.make(ANNA))
    for _ in range(MOST_WRONG):
        with pytest.raises(PermissionDeniedError, match="no second factor"):
            factors.check(ANNA + "2", "123456", NOW)
    factors.check(ANNA, app.at(NOW), NOW)


def test_guessing_many_at_once_is_no_way_round(factors: SecondFactors) -> None:
    factors.make(ANNA)
    with ThreadPoolExecutor(16) as many:
        outcomes = list(many.map(lambda code: guess(factors, NOW, f"x{code}"), range(40)))
    assert [type(each) for each in outcomes].count(PermissionDeniedError) == FREE + 1


def test_a_damaged_file_is_reported(
    factors: SecondFactors, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    factors.make(ANNA)
    (tmp_path / "site" / "totp.json").write_text("[]", encoding="ascii")
    with pytest.raises(ConfigError, match="damaged"):
        factors.has(ANNA)
    with pytest.raises(PermissionDeniedError, match="its operator finds what to do in"):
        factors.check(ANNA, "123456", NOW)
    assert "remove it and create new second factors" in caplog.text


@pytest.mark.parametrize(
    "entry", ["5", "{}", "[]", '{"secret": "1", "step": 0}', '{"secret": "AAAA", "step": "x"}']
)
def test_a_damaged_entry_is_reported_and_can_be_replaced(
    factors: SecondFactors, tmp_path: Path, entry: str
) -> None:
    other = app_of(factors.make(ANNA + "2"))
    path = tmp_path / "site" / "totp.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), ANNA: json.loads(entry)}))
    with pytest.raises(PermissionDeniedError, match="`serial-svc pki totp anna --replace`"):
        factors.check(ANNA, "123456", NOW)
    factors.check(ANNA + "2", other.at(NOW), NOW)
    assert factors.has(ANNA)
    factors.check(ANNA, app_of(factors.make(ANNA)).at(NOW), NOW)


def test_replacing_a_secret_ends_its_confirmations(
    factors: SecondFactors, tmp_path: Path, clock: FakeClock
) -> None:
    other_process = SecondFactors(tmp_path / "site" / "totp.json", clock)
    for name in (ANNA, ANNA + "2"):
        factors.check(name, app_of(factors.make(name)).at(NOW), NOW)
    factors.look()
    assert factors.confirmed_ago_s(ANNA) == 0
    new = app_of(other_process.make(ANNA))
    factors.look()
    assert factors.confirmed_ago_s(ANNA) is None
    assert factors.confirmed_ago_s(ANNA + "2") == 0
    factors.check(ANNA, new.at(NOW), NOW)
    factors.look()
    assert factors.confirmed_ago_s(ANNA) == 0


def test_without_the_file_nothing_counts(factors: SecondFactors, tmp_path: Path) -> None:
    factors.check(ANNA, app_of(factors.make(ANNA)).at(NOW), NOW)
    (tmp_path / "site" / "totp.json").unlink()
    factors.look()
    assert factors.confirmed_ago_s(ANNA) is None


async def test_the_file_is_followed_and_damage_ends_nothing(
    factors: SecondFactors,
    tmp_path: Path,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "site" / "totp.json"
    factors.check(ANNA, app_of(factors.make(ANNA)).at(NOW), NOW)
    watch = FileWatch("files", look_s=0.01)
    following = asyncio.create_task(factors.follow(watch), name="follow")
    good = path.read_bytes()
    write_private(path, b"[]")
    await until(lambda: "cannot tell" in caplog.text)
    assert factors.confirmed_ago_s(ANNA) == 0
    write_private(path, good)
    SecondFactors(path, clock).make(ANNA)
    await until(lambda: factors.confirmed_ago_s(ANNA) is None)
    assert caplog.text.count("cannot tell") == 1
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    watch.close()
