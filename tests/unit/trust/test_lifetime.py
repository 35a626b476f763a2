"""When a certificate is due, and how old it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fakes.certificates import issue
from usbshare.trust import lifetime
from usbshare.trust.lifetime import Age

NOW = datetime.now(UTC)


def test_a_certificate_is_due_after_two_thirds_and_at_most_a_twentieth_later() -> None:
    for _ in range(20):
        certificate = issue(from_days=0, to_days=100).certificate
        due = lifetime.due_at(certificate) - certificate.not_valid_before_utc
        assert timedelta(days=66.6) < due < timedelta(days=71.7)


def test_certificates_of_the_same_moment_are_due_at_different_ones() -> None:
    dues = {lifetime.due_at(issue(to_days=90).certificate) for _ in range(10)}
    assert len(dues) == 10


def test_the_same_certificate_is_always_due_at_the_same_moment() -> None:
    certificate = issue().certificate
    assert lifetime.due_at(certificate) == lifetime.due_at(certificate)


@pytest.mark.parametrize(
    ("from_days", "to_days", "expected"),
    [
        (1, 90, Age.NOT_YET_VALID),
        (-10, 80, Age.FRESH),
        (-72, 24, Age.DUE),
        (-80, 10, Age.LATE),
        (-90, -1, Age.EXPIRED),
    ],
)
def test_how_old_it_is(from_days: float, to_days: float, expected: Age) -> None:
    certificate = issue(from_days=from_days, to_days=to_days).certificate
    assert lifetime.age(certificate, NOW) is expected
    assert lifetime.is_due(certificate, NOW) is (expected in {Age.DUE, Age.LATE, Age.EXPIRED})
