"""What the doctor says of the files that say who may do what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes.certificates import make_site
from usbshare.base.checkup import Verdict
from usbshare.service.checkup.host import judge_rules
from usbshare.trust.identities import note_alarm, registry_path, revoke
from usbshare.trust.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def test_known_and_revoked_identities_are_counted(site: Site) -> None:
    found = judge_rules(site.folder)
    assert (found.verdict, found.measured) == (
        Verdict.OK,
        "the default policy; 1 identities, 0 revoked",
    )


def test_an_alarm_is_reported_until_the_name_is_revoked(site: Site) -> None:
    now = datetime.now(UTC)
    note_alarm(registry_path(site.folder), site.operator_uri, "192.0.2.7", now)
    found = judge_rules(site.folder)
    assert found.verdict is Verdict.WARNING
    assert "operator (from 192.0.2.7)" in found.measured
    revoke(registry_path(site.folder), site.operator_uri, "copied", now)
    assert judge_rules(site.folder).verdict is Verdict.OK


def test_a_mistake_and_a_file_that_cannot_be_read_fail(site: Site) -> None:
    policy = site.folder / "policy.toml"
    policy.write_text("[[grants]]")
    found = judge_rules(site.folder)
    assert found.verdict is Verdict.FAILURE
    assert "grants.0.who: missing" in found.measured
    policy.unlink()
    policy.mkdir()
    assert "not a regular file" in judge_rules(site.folder).measured
