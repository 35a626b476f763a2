"""The gate: who is let through, what else it takes, and how refusals read."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest

from fakes.clock import FakeClock
from fakes.noted import Noted
from usbshare.authorization.gate import DISCOVERY, Gate, Granted
from usbshare.authorization.rights import SERVICE, Resource, ResourceKind, Right
from usbshare.authorization.rulebook import Rulebook
from usbshare.authorization.second_factor import SecondFactors
from usbshare.base.errors import (
    AuditUnavailableError,
    ConfirmationNeededError,
    PermissionDeniedError,
    RulesUnavailableError,
    UsbshareError,
)
from usbshare.rpc.identity import INSECURE, Identity
from usbshare.trust.identities import registry_path, revoke

SITE = "0123456789ab"
START = datetime(2026, 11, 18, 12, tzinfo=UTC)
LASER, MILL = Resource(ResourceKind.PORT, "laser"), Resource(ResourceKind.PORT, "mill")
POLICY = """
audit = "required"
[[grants]]
who = ["pc"]
rights = ["view"]
[[grants]]
who = ["pc"]
rights = ["control"]
ports = ["laser"]
confirm = "totp"
confirm_for = "2h"
[[grants]]
who = ["plain"]
rights = ["control"]
"""


def identity(name: str, expires: datetime | None = START + timedelta(days=30)) -> Identity:
    return Identity(f"usbshare://{SITE}/{name}", "127.0.0.1:1", START, expires)


class Setup:
    """A gate with its clocks, files and audit log."""

    def __init__(self, folder: Path, service: str = "serial-svc") -> None:
        self.folder = folder
        self.now = START
        self.clock = FakeClock()
        self.audit = Noted()
        self.factors = SecondFactors(folder / "site" / "totp.json", self.clock)
        (folder / "policy.toml").write_text(POLICY, encoding="ascii")
        self.book = Rulebook(folder, SITE, self.audit)
        self.book.load()
        self.gate = Gate(self.book, self.factors, self.audit, lambda: self.now, service)

    def confirm(self, name: str) -> None:
        secret = pyotp.parse_uri(self.factors.make(identity(name).name))
        assert isinstance(secret, pyotp.TOTP)
        self.gate.confirm(identity(name), secret.at(self.now))


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def refusal(setup: Setup, *args: object, kind: type[UsbshareError] = PermissionDeniedError) -> str:
    caller, right, resource = args
    assert isinstance(caller, Identity)
    assert isinstance(right, Right)
    assert isinstance(resource, Resource)
    with pytest.raises(kind) as raised:
        setup.gate.check(caller, right, resource, arms=kind is ConfirmationNeededError)
    assert raised.value.about == resource.id
    return str(raised.value)


def test_a_refusal_names_who_what_and_the_right_that_is_missing(setup: Setup) -> None:
    assert refusal(setup, identity("pc"), Right.CONTROL, MILL) == (
        "pc may not control port 'mill': it lacks the right to control and has view, stop; "
        "the host's policy.toml grants rights"
    )
    assert refusal(setup, identity("other"), Right.ADMIN, SERVICE) == (
        "other may not administer the service: it lacks the right to admin and has none; "
        "the host's policy.toml grants rights"
    )


def test_a_refusal_shows_no_more_of_an_id_than_fits_a_line(setup: Setup) -> None:
    made_up = Resource(ResourceKind.PORT, "x'\nWARNING emergency stop\x1b[2J" + "y" * 100_000)
    with pytest.raises(PermissionDeniedError) as raised:
        setup.gate.check(identity("pc"), Right.CONTROL, made_up)
    told = f"{raised.value} {raised.value.about}"
    assert told.isprintable()
    assert len(told) < 400
    assert len(raised.value.about) == 64


def test_a_session_that_began_continues_without_a_code_or_the_audit_log(setup: Setup) -> None:
    setup.audit.trouble = "no space left"
    setup.gate.require(identity("pc"), Right.CONTROL, LASER)
    with pytest.raises(PermissionDeniedError):
        setup.gate.require(identity("pc"), Right.CONTROL, MILL)


def test_while_the_rules_cannot_be_read_the_right_to_stop_allows_only_stops(setup: Setup) -> None:
    setup.book.is_closed = True
    for right in (Right.VIEW, Right.CONTROL):
        told = refusal(setup, identity("plain"), right, LASER, kind=RulesUnavailableError)
        assert told.endswith("a stop is always possible")
    setup.gate.check(identity("plain"), Right.STOP, LASER)
    refusal(setup, identity("other"), Right.STOP, LASER)
    assert not setup.gate.may(identity("plain"), Right.VIEW, LASER)
    setup.gate.check(identity("plain"), None, SERVICE)
    setup.book.is_closed = False
    setup.gate.check(identity("plain"), Right.CONTROL, LASER)


def test_over_plaintext_every_caller_may_do_everything(setup: Setup) -> None:
    setup.audit.trouble = "no space left"
    for right in Right:
        setup.gate.check(Identity(INSECURE, "127.0.0.1:1"), right, LASER, arms=True)


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize("service", [DISCOVERY, "serial-svc", "camera-svc"])
def test_the_services_own_identity_is_for_discovery_alone(
    tmp_path: Path, service: str, right: Right
) -> None:
    (tmp_path / "policy.toml").write_text("", encoding="ascii")
    gate, host = Setup(tmp_path, service).gate, identity("host")
    assert gate.may(host, right, SERVICE) == (service == DISCOVERY and right is not Right.ADMIN)
    assert not gate.may(host, right, LASER)


def test_a_policy_cannot_give_the_services_own_identity_a_port(setup: Setup) -> None:
    setup.book.policy_path.write_text(
        '[[grants]]\nwho = ["*", "host"]\nrights = ["control"]', encoding="ascii"
    )
    setup.book.load()
    assert not setup.gate.may(identity("host"), Right.VIEW, LASER)


def test_a_certificate_ends_a_right_too(setup: Setup) -> None:
    caller = identity("plain", expires=START + timedelta(minutes=5))
    assert setup.gate.check(caller, Right.CONTROL, LASER) == caller.expires
    setup.now += timedelta(minutes=6)
    with pytest.raises(PermissionDeniedError, match="expired on 2026-11-18 12:05 UTC"):
        setup.gate.check(caller, Right.VIEW, LASER)


def test_a_revoked_identity_is_refused_and_its_second_factor_forgotten(setup: Setup) -> None:
    setup.confirm("pc")
    revoke(registry_path(setup.folder), identity("pc").name, "lost", START)
    setup.book.load()
    with pytest.raises(PermissionDeniedError, match="the certificate of pc is revoked"):
        setup.gate.check(identity("pc"), None, SERVICE)
    assert setup.factors.confirmed_ago_s(identity("pc").name) is None


def test_arming_needs_a_code_for_as_long_as_the_policy_says(setup: Setup) -> None:
    pc = identity("pc")
    setup.gate.check(pc, Right.CONTROL, LASER)
    told = refusal(setup, pc, Right.CONTROL, LASER, kind=ConfirmationNeededError)
    assert (
        "pc needs a code from its authenticator app: give it with --code; it is valid for 2 h"
        in told
    )
    setup.confirm("pc")
    setup.gate.check(pc, Right.CONTROL, LASER, arms=True)
    assert setup.gate.confirmed_until(pc) == START + timedelta(hours=2)
    setup.clock.advance(7200)
    refusal(setup, pc, Right.CONTROL, LASER, kind=ConfirmationNeededError)
    assert setup.gate.confirmed_until(pc) is None


def test_a_user_who_needs_no_code_is_not_asked_for_one(setup: Setup) -> None:
    setup.gate.check(identity("plain"), Right.CONTROL, LASER, arms=True)
    setup.gate.check(identity("pc"), Right.STOP, LASER, arms=True)


def test_without_an_audit_log_no_one_controls_and_everyone_can_stop(setup: Setup) -> None:
    setup.audit.trouble = "no space left on device"
    plain = identity("plain")
    told = refusal(setup, plain, Right.CONTROL, LASER, kind=AuditUnavailableError)
    assert "no space left on device" in told
    for right in (Right.STOP, Right.VIEW):
        setup.gate.check(plain, right, LASER)
    setup.audit.trouble = ""
    setup.gate.check(plain, Right.CONTROL, LASER)


def test_a_policy_that_only_warns_lets_control_without_an_audit_log(setup: Setup) -> None:
    setup.book.policy_path.write_text(POLICY.replace("required", "warn"), encoding="ascii")
    setup.book.load()
    setup.audit.trouble = "no space left on device"
    setup.gate.check(identity("plain"), Right.CONTROL, LASER)


async def test_a_session_under_way_survives_a_full_disk_and_the_end_of_its_code(
    setup: Setup,
) -> None:
    setup.confirm("pc")
    async with setup.gate.permit(identity("pc"), Right.CONTROL, LASER, arms=True) as permit:
        setup.audit.trouble = "no space left"
        setup.clock.advance(100_000)
        assert permit.ask_again()


def test_rights_are_reported_for_each_resource(setup: Setup) -> None:
    offered = {ResourceKind.PORT: ["mill", "laser"], ResourceKind.CAMERA: []}
    grants = setup.gate.grants(identity("pc"), offered)
    view, stop, control = Right.VIEW, Right.STOP, Right.CONTROL
    assert grants == [
        Granted(LASER, (view, stop, control), (control,)),
        Granted(MILL, (view, stop)),
    ]
    assert setup.gate.grants(identity("other"), offered) == []
    assert setup.gate.grants(identity("plain"), {}) == [Granted(SERVICE, (view, stop, control))]
    assert setup.gate.visible(identity("pc"), ResourceKind.PORT, ["mill", "x"]) == ["mill", "x"]
    assert setup.gate.visible(identity("other"), ResourceKind.PORT, ["mill"]) == []


async def test_an_open_permit_follows_changed_rules(setup: Setup) -> None:
    async def control() -> None:
        async with setup.gate.permit(identity("plain"), Right.CONTROL, LASER):
            setup.book.policy_path.write_text("# nobody\n", encoding="ascii")
            for _ in range(2):
                await setup.book.look()
            await asyncio.get_running_loop().create_future()

    unfollow = setup.gate.follow_rules()
    with pytest.raises(PermissionDeniedError, match="lacks the right to control"):
        await control()
    unfollow()


def test_the_hosts_own_job_service_controls_every_port_and_no_more(tmp_path: Path) -> None:
    own, camera = identity("job-svc"), Resource(ResourceKind.CAMERA, "bed")
    gate = Setup(tmp_path).gate
    assert gate.may(own, Right.CONTROL, MILL)
    assert gate.may(own, Right.VIEW, SERVICE)
    assert not gate.may(own, Right.ADMIN, MILL)
    assert not gate.may(own, Right.VIEW, camera)
    foreign = Identity("usbshare://ffffffffffff/job-svc", "127.0.0.1:1", START)
    assert not gate.may(foreign, Right.VIEW, MILL)


@pytest.mark.parametrize("service", ["job-svc", "camera-svc", "discovery-svc"])
def test_the_job_service_has_no_right_elsewhere(tmp_path: Path, service: str) -> None:
    gate = Setup(tmp_path, service).gate
    assert not gate.may(identity("job-svc"), Right.STOP, MILL)


def test_a_policy_gives_the_job_service_only_what_it_grants(tmp_path: Path) -> None:
    setup, own = Setup(tmp_path), identity("job-svc")
    grant = '[[grants]]\nwho = ["job-svc"]\nrights = ["control"]\nports = ["laser"]\n'
    setup.book.policy_path.write_text(f'jobs = "granted"\n{grant}', encoding="ascii")
    setup.book.load()
    assert setup.gate.may(own, Right.CONTROL, LASER)
    assert not setup.gate.may(own, Right.STOP, MILL)
    assert "job-svc may not control port 'mill'" in refusal(setup, own, Right.CONTROL, MILL)


def test_a_revoked_job_service_is_refused(setup: Setup) -> None:
    own = identity("job-svc")
    (setup.folder / "site").mkdir()
    revoke(registry_path(setup.folder), own.name, "", START)
    setup.book.load()
    with pytest.raises(PermissionDeniedError, match="the certificate of job-svc is revoked"):
        setup.gate.check(own, Right.CONTROL, LASER)
