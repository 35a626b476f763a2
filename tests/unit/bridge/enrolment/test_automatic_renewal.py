"""A client's certificate is renewed in time; what is wrong with a new one leaves the old in use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from fakes.certificates import CLIENT, Issued, issue, write_bundle
from fakes.waiting import until
from usbshare.base.errors import ConfigError, ConnectionRefusedByPeerError, UsbshareError
from usbshare.bridge.enrolment import automatic_renewal
from usbshare.bridge.enrolment.automatic_renewal import Renewing, obtain
from usbshare.client.connection_limiter import Turns
from usbshare.rpc.channel import Target, parse_target
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import certificates
from usbshare.trust.certificates import Authority
from usbshare.trust.signing_requests import requested_key

HERE = parse_target("127.0.0.1:50051")
IDENTITY = "usbshare://0123456789ab/office-pc"
NOW = datetime.now(UTC)


class Host:
    """Signs what it is asked for, or something else."""

    def __init__(self) -> None:
        self.authority = issue(name="site")
        self.identity = self.taken_for = IDENTITY
        self.asked = self.tried = 0
        self.when_tried: Callable[[], object] = lambda: None
        self.refuses: UsbshareError | None = None
        self.own_key: certificates.Key | None = None
        self.signer: Issued | None = None
        self.start = timedelta(0)

    async def renew(
        self, _target: Target, _bundle: ClientBundle, request: str
    ) -> tuple[bytes, ...]:
        self.asked += 1
        if self.refuses is not None:
            raise self.refuses
        signer = self.signer or self.authority
        key = self.own_key or requested_key(request)
        issued = certificates.issue_client(
            Authority(signer.certificate, signer.key), key, self.identity, NOW + self.start
        )
        return certificates.certificate_pem(issued), self.authority.pem

    async def who_am_i(self, _target: Target, _bundle: ClientBundle) -> str:
        self.tried += 1
        self.when_tried()
        return self.taken_for


class Told:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, name: str, text: str, **_: Any) -> None:
        self.events.append(name)

    def status(self, status: Any) -> None: ...

    def end(self) -> None: ...


class Adopter:
    """Takes a new bundle over, at the so-manieth attempt."""

    def __init__(self) -> None:
        self.refusals = 0
        self.bundles: list[ClientBundle] = []

    async def adopt(self, bundle: ClientBundle) -> bool:
        self.bundles.append(bundle)
        self.refusals -= 1
        return self.refusals < 0


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(automatic_renewal, "call_renew", made.renew)
    monkeypatch.setattr(automatic_renewal, "call_who_am_i", made.who_am_i)
    monkeypatch.setattr(automatic_renewal, "LOOK_S", 0.01)
    monkeypatch.setattr(automatic_renewal, "SPREAD_S", 0.0)
    return made


def bundle_of(host: Host, folder: Path, *, from_days: float = -80, to_days: float = 10) -> Path:
    client = issue(
        host.authority, names=[IDENTITY], usage=CLIENT, from_days=from_days, to_days=to_days
    )
    return write_bundle(folder / "client.pem", client, host.authority)


@pytest.fixture
def path(host: Host, tmp_path: Path) -> Path:
    return bundle_of(host, tmp_path)


@asynccontextmanager
async def renewed_by(path: Path, adopter: Adopter, told: Told) -> AsyncIterator[Renewing]:
    made = Renewing(ClientBundle.load(path), lambda: HERE, adopter.adopt, told, Turns())
    task = asyncio.create_task(made.run())
    try:
        yield made
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_certificate_that_is_due_is_renewed_saved_and_used(host: Host, path: Path) -> None:
    adopter, told, before = Adopter(), Told(), ClientBundle.load(path)
    async with renewed_by(path, adopter, told) as made:
        await until(lambda: adopter.bundles)
        assert adopter.bundles == [made.bundle]
        assert (host.asked, told.events) == (1, ["renewed"])
    after = ClientBundle.load(path)
    assert after.certificate == made.bundle.certificate
    assert after.expires > NOW + timedelta(days=89)
    assert after.key != before.key
    assert after.warning is None


async def test_a_certificate_that_is_not_due_is_left(host: Host, tmp_path: Path) -> None:
    path, told = bundle_of(host, tmp_path, from_days=-1, to_days=89), Told()
    async with renewed_by(path, Adopter(), told):
        await asyncio.sleep(0.1)  # nothing is to happen
    assert (host.asked, told.events) == (0, [])


async def test_a_certificate_renewed_by_another_process_is_used_without_asking(
    host: Host, tmp_path: Path
) -> None:
    path, adopter = bundle_of(host, tmp_path, from_days=-1, to_days=60), Adopter()
    async with renewed_by(path, adopter, Told()):
        bundle_of(host, tmp_path, from_days=0, to_days=90)
        await until(lambda: adopter.bundles)
    assert host.asked == 0
    assert adopter.bundles[0].certificate == ClientBundle.load(path).certificate


def two_that_end_together(host: Host) -> tuple[Issued, Issued]:
    while True:  # a second may have ended between the two
        made = [issue(host.authority, names=[IDENTITY], usage=CLIENT, to_days=60) for _ in "12"]
        if made[0].certificate.not_valid_after_utc == made[1].certificate.not_valid_after_utc:
            return made[0], made[1]


async def test_a_certificate_renewed_within_the_same_second_is_used(
    host: Host, tmp_path: Path
) -> None:
    first, second = two_that_end_together(host)
    path, adopter = write_bundle(tmp_path / "client.pem", first, host.authority), Adopter()
    async with renewed_by(path, adopter, Told()):
        write_bundle(path, second, host.authority)
        await until(lambda: adopter.bundles)
    assert adopter.bundles[0].certificate == second.certificate


async def test_a_certificate_that_ends_earlier_is_not_used(host: Host, tmp_path: Path) -> None:
    path, adopter = bundle_of(host, tmp_path, from_days=-1, to_days=60), Adopter()
    async with renewed_by(path, adopter, Told()) as made:
        bundle_of(host, tmp_path, from_days=-1, to_days=59)
        await asyncio.sleep(0.1)  # nothing is to happen
        assert made.bundle.certificate != ClientBundle.load(path).certificate
    assert adopter.bundles == []


async def test_another_identity_in_the_file_is_not_taken_over(host: Host, tmp_path: Path) -> None:
    path, adopter = bundle_of(host, tmp_path, from_days=-1, to_days=60), Adopter()
    async with renewed_by(path, adopter, Told()) as made:
        other = issue(host.authority, names=[f"{IDENTITY}-2"], usage=CLIENT, to_days=90)
        write_bundle(path, other, host.authority)
        await asyncio.sleep(0.1)  # nothing is to happen
        assert certificates.uris(made.bundle.certificate) == [IDENTITY]
    assert adopter.bundles == []


async def test_a_session_that_cannot_move_now_is_asked_again(host: Host, path: Path) -> None:
    adopter = Adopter()
    adopter.refusals = 2
    async with renewed_by(path, adopter, Told()):
        await until(lambda: len(adopter.bundles) == 3)
    assert host.asked == 1


async def test_a_failure_is_reported_once_and_tried_again(
    host: Host, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automatic_renewal, "RETRY", timedelta(0))
    host.refuses = ConnectionRefusedByPeerError("the host is away")
    told, before = Told(), ClientBundle.load(path)
    async with renewed_by(path, Adopter(), told):
        await until(lambda: host.asked >= 3)
        assert told.events == ["not_renewed"]
        assert ClientBundle.load(path) == before
        host.refuses = None
        await until(lambda: told.events == ["not_renewed", "renewed"])


@pytest.mark.parametrize("step", ["require_writable", "write"])
async def test_a_certificate_that_cannot_be_saved_is_not_used(
    host: Host, path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fails(_: ClientBundle) -> None:
        raise ConfigError("cannot write: read-only file system")

    monkeypatch.setattr(f"usbshare.bridge.forwarding.bundle_file.{step}", fails)
    adopter, told = Adopter(), Told()
    async with renewed_by(path, adopter, told):
        await until(lambda: told.events)
    assert told.events == ["not_renewed"]
    assert adopter.bundles == []
    assert host.tried == 0


async def test_the_new_one_is_saved_before_the_host_sees_it(host: Host, path: Path) -> None:
    seen: list[ClientBundle] = []
    host.when_tried = lambda: seen.append(ClientBundle.load(path))
    renewed = await obtain(HERE, ClientBundle.load(path), datetime.now(UTC))
    assert [each.certificate for each in seen] == [renewed.certificate]


async def test_a_certificate_whose_trial_has_no_answer_is_kept(host: Host, path: Path) -> None:
    def no_answer() -> None:
        raise ConnectionRefusedByPeerError("the link is lost")

    host.when_tried = no_answer
    renewed = await obtain(HERE, ClientBundle.load(path), datetime.now(UTC))
    assert ClientBundle.load(path).certificate == renewed.certificate


async def test_programs_that_share_a_file_get_one_certificate_for_it(
    host: Host, path: Path
) -> None:
    adopters = [Adopter() for _ in range(4)]
    async with contextlib.AsyncExitStack() as stack:
        for adopter in adopters:
            await stack.enter_async_context(renewed_by(path, adopter, Told()))
        await until(lambda: all(adopter.bundles for adopter in adopters))
    assert host.asked == 1


async def obtained(path: Path) -> x509.Certificate:
    return (await obtain(HERE, ClientBundle.load(path), datetime.now(UTC))).certificate


async def test_a_certificate_for_another_key_is_refused(host: Host, path: Path) -> None:
    host.own_key = certificates.new_key()
    with pytest.raises(ConnectionRefusedByPeerError, match="not a certificate for this key"):
        await obtained(path)


async def test_a_certificate_for_another_identity_is_refused(host: Host, path: Path) -> None:
    host.identity = f"{IDENTITY}-2"
    with pytest.raises(ConnectionRefusedByPeerError, match="not a certificate for this key"):
        await obtained(path)


async def test_a_certificate_that_no_authority_vouches_for_is_refused(
    host: Host, path: Path
) -> None:
    host.signer = issue(name="another site")
    with pytest.raises(ConnectionRefusedByPeerError, match="not a certificate for this key"):
        await obtained(path)


async def test_a_certificate_of_the_future_indicates_a_wrong_clock(host: Host, path: Path) -> None:
    host.start = timedelta(days=3)
    with pytest.raises(ConfigError, match="set this computer's clock"):
        await obtained(path)


async def test_a_certificate_that_does_not_work_is_not_used(host: Host, path: Path) -> None:
    host.taken_for = "usbshare://0123456789ab/somebody"
    before = ClientBundle.load(path)
    with pytest.raises(ConnectionRefusedByPeerError, match="uses the new certificate for"):
        await obtained(path)
    assert ClientBundle.load(path) == before
