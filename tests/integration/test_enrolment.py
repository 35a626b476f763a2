"""Enrolment over real connections: a host's listener, a PC's bridge, and those in between."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import grpc
import pytest

from fakes.certificates import issue, serving
from fakes.enrolment import Noted, enroller_of, invited, make_site, request_pem, utc_now
from fakes.processes import free_port
from fakes.waiting import until
from usbshare.base.errors import (
    ConfigError,
    ConnectionRefusedByPeerError,
    LimitError,
    PermissionDeniedError,
    UsbshareError,
)
from usbshare.base.file_lock import file_lock
from usbshare.bridge.enrolment.certificate_request import enrol, require_place
from usbshare.bridge.enrolment.replacement import require_replaceable
from usbshare.bridge.hosts.authority_check import ImpostorError, expected_authority
from usbshare.client.enrolment import call_enrol
from usbshare.enrolment import invitation_maker
from usbshare.enrolment.api.listener import EnrolmentListener
from usbshare.enrolment.api.servicer import MOST_OF_ONE as MOST_OF_ONE_WAITING
from usbshare.enrolment.failed_attempts import MOST_OF_ONE
from usbshare.enrolment.invitation_maker import (
    ANSWER_S,
    OPENING_S,
    Answer,
    authority,
    listener_lock,
    wait_for_answer,
)
from usbshare.enrolment.invitation_warnings import InvitationPlace, warnings
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import certificates, invitations
from usbshare.trust.invitation import Invitation
from usbshare.trust.invitations import invitations_path
from usbshare.trust.site import Site

TIMEOUT_S = 20.0
Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path / "host")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tmp_path / "pc" / "client.pem"


def is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def mode_of(path: Path) -> int | None:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


@asynccontextmanager
async def listener(
    site: Site, port: int, audit: Noted | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[EnrolmentListener]:
    made = EnrolmentListener(site, f"{host}:{port}", enroller_of(site, audit), utc_now)
    running = asyncio.create_task(made.run(), name="listener")
    try:
        yield made
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def open_listener(
    site: Site, audit: Noted | None = None
) -> AsyncIterator[tuple[EnrolmentListener, int]]:
    """Run one that is kept open by an invitation that nobody uses."""
    port = free_port()
    invited(site, name="nobody", port=port)
    async with listener(site, port, audit) as made:
        await until(lambda: made.port)
        yield made, port


async def enrolled(site: Site, bundle: Path, port: int) -> ClientBundle:
    require_place(bundle)
    await enrol(invited(site, port=port), bundle)
    return ClientBundle.load(bundle)


async def refusal(invitation: Invitation, bundle: Path, kind: type[UsbshareError]) -> str:
    require_place(bundle)
    with pytest.raises(kind) as caught:
        await enrol(invitation, bundle)
    assert mode_of(bundle) is None
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_a_newcomer_gets_a_bundle_that_opens_the_services(site: Site, bundle: Path) -> None:
    async with open_listener(site) as (_, port), serving(site) as service:
        loaded = await enrolled(site, bundle, port)
        channel = open_channel(Target("127.0.0.1", service), loaded)
        await asyncio.wait_for(channel.channel_ready(), TIMEOUT_S)
        await channel.close()
    assert mode_of(bundle) == 0o600
    assert loaded.is_consistent
    assert loaded.warning is None


async def test_both_ends_know_the_same_fingerprints(site: Site, bundle: Path) -> None:
    audit = Noted()
    async with open_listener(site, audit) as (_, port):
        require_place(bundle)
        done = await enrol(invited(site, port=port), bundle)
    assert audit.entries[-1]["fingerprint"] == done.fingerprint
    own = certificates.short_fingerprint(authority(site).public_key())
    assert done.authority_fingerprint == own


async def test_enrolment_listens_only_while_an_invitation_is_open(site: Site, bundle: Path) -> None:
    port = free_port()
    async with listener(site, port):
        assert not is_open(port)
        invitation = invited(site, port=port)
        await until(lambda: is_open(port))
        require_place(bundle)
        await enrol(invitation, bundle)
        await until(lambda: not is_open(port))
        invited(site, port=port)
        await until(lambda: is_open(port))
        invitations.withdraw(invitations_path(site.folder), "office-pc", utc_now())
        await until(lambda: not is_open(port))
        invited(site, port=port, lasting=timedelta(seconds=1))
        await until(lambda: is_open(port))
        await until(lambda: not is_open(port))


async def test_of_two_services_one_answers_and_the_other_takes_over(
    site: Site, bundle: Path
) -> None:
    port = free_port()
    invitation = invited(site, port=port)
    async with listener(site, port) as second:
        async with listener(site, port) as first:
            await until(lambda: first.port or second.port)
        await until(lambda: second.port)
        await until(lambda: is_open(port))
        require_place(bundle)
        await enrol(invitation, bundle)


async def test_the_inviter_sees_who_answers(site: Site) -> None:
    async def answer(port: int) -> Answer:
        times = iter((0.0, OPENING_S))
        arguments = (site, f"127.0.0.1:{port}", lambda: next(times))
        return await asyncio.to_thread(wait_for_answer, *arguments)

    assert await answer(free_port()) is Answer.NOBODY
    with file_lock(listener_lock(site)):
        assert await answer(free_port()) is Answer.OPENING
    assert await answer(free_port()) is Answer.NOBODY
    async with open_listener(site) as (_, port):
        assert await answer(port) is Answer.OURS
    other = make_site(site.folder.parent / "other")
    async with open_listener(other) as (_, port):
        assert await answer(port) is Answer.ANOTHER


async def test_the_inviter_waits_longer_for_a_slow_service(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has taken the lock, and takes callers whose handshakes it has no time for yet."""
    monkeypatch.setattr(invitation_maker, "KNOCK_TIMEOUT_S", 0.05)
    now = [0.0]

    def wait(_: float) -> None:
        now[0] += 1.0

    def answer(port: int) -> tuple[Answer, float]:
        now[0] = 0.0
        return wait_for_answer(site, f"127.0.0.1:{port}", lambda: now[0], wait), now[0]

    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        port = silent.getsockname()[1]
        with file_lock(listener_lock(site)):
            assert await asyncio.to_thread(answer, port) == (Answer.OPENING, OPENING_S)
        assert await asyncio.to_thread(answer, port) == (Answer.ANOTHER, ANSWER_S)


async def test_an_inviter_elsewhere_hears_that_a_service_is_still_opening(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitation_maker, "OPENING_S", 0.0)
    port = free_port()
    place = InvitationPlace(f"127.0.0.1:{port}", port)
    with file_lock(listener_lock(site)):
        *_, told = await asyncio.to_thread(warnings, site, invited(site, port=port), place)
    assert told.startswith(f"a service of this host is still opening enrolment at 127.0.0.1:{port}")


async def test_a_used_invitation_is_refused(site: Site, bundle: Path, tmp_path: Path) -> None:
    audit = Noted()
    async with open_listener(site, audit) as (_, port):
        invitation = invited(site, port=port)
        require_place(bundle)
        await enrol(invitation, bundle)
        text = await refusal(invitation, tmp_path / "pc2" / "client.pem", PermissionDeniedError)
    assert "was already used" in text
    assert audit.events == ["enrolled", "enrolment refused"]


async def test_an_expired_invitation_is_refused(site: Site, bundle: Path) -> None:
    async with open_listener(site) as (_, port):
        past = invited(site, port=port, lasting=timedelta(seconds=-1))
        assert "expired" in await refusal(past, bundle, PermissionDeniedError)


async def test_an_altered_token_is_refused(site: Site, bundle: Path) -> None:
    async with open_listener(site) as (_, port):
        altered = replace(invited(site, port=port), token=bytes(16))
        assert "was altered" in await refusal(altered, bundle, PermissionDeniedError)


async def test_an_altered_name_or_role_gives_nothing(site: Site, bundle: Path) -> None:
    async with open_listener(site) as (_, port):
        altered = replace(invited(site, port=port), name="operator", role="admins")
        require_place(bundle)
        done = await enrol(altered, bundle)
    assert done.identity == f"usbshare://{site.id}/office-pc"
    assert done.role == "operators: view, stop, control"


async def test_after_a_few_wrong_tokens_one_must_wait(site: Site, bundle: Path) -> None:
    audit = Noted()
    async with open_listener(site, audit) as (_, port):
        good = invited(site, port=port)
        for _ in range(MOST_OF_ONE):
            await refusal(replace(good, token=bytes(16)), bundle, PermissionDeniedError)
        assert "too many wrong attempts" in await refusal(good, bundle, LimitError)
    assert len(audit.entries) == MOST_OF_ONE


async def test_no_open_invitation_is_reported_as_such(site: Site, bundle: Path) -> None:
    text = await refusal(invited(site, port=free_port()), bundle, ConnectionRefusedByPeerError)
    assert "this host has no open invitation" in text


async def test_one_address_that_answers_is_enough(site: Site, bundle: Path) -> None:
    async with open_listener(site) as (_, port):
        several = ("127.0.0.2", "no-such-host.invalid", "127.0.0.1")
        require_place(bundle)
        done = await enrol(replace(invited(site, port=port), addresses=several), bundle)
    assert done.target.host == "127.0.0.1"


async def test_an_address_that_the_certificate_is_not_for_is_reported(
    site: Site, bundle: Path
) -> None:
    port = free_port()
    invitation = replace(invited(site, port=port), addresses=("127.0.0.2",))
    async with listener(site, port, host="127.0.0.2") as made:
        await until(lambda: made.port)
        text = await refusal(invitation, bundle, ConnectionRefusedByPeerError)
    assert "is not for '127.0.0.2' but for localhost, 127.0.0.1, ::1" in text


async def test_the_caller_needs_a_certificate_nowhere_else(site: Site) -> None:
    async with open_listener(site) as (_, port):
        root = certificates.certificate_pem(authority(site))
        credentials = grpc.ssl_channel_credentials(root)
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
            for method in (
                "/usbshare.access.v1.AccessService/WhoAmI",
                "/usbshare.serial.v1.SerialService/ListPorts",
                "/grpc.health.v1.Health/Check",
            ):
                call: Call = channel.unary_unary(method)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(b"", timeout=TIMEOUT_S)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_huge_request_is_refused(site: Site) -> None:
    async with open_listener(site) as (_, port):
        target = Target("127.0.0.1", port)
        with pytest.raises(LimitError):
            await call_enrol(target, authority(site), bytes(16), "x" * 100_000)


class Impostor:
    """Speaks TLS with what it was given, and remembers every byte that it is sent in it."""

    def __init__(self, chain: bytes, key: bytes, folder: Path) -> None:
        path = folder / "impostor.pem"
        path.write_bytes(key + chain)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(path)
        self._context.set_alpn_protocols(["h2"])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port = int(self._listener.getsockname()[1])
        self.visits = 0
        self.received = b""

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        # Closing alone would leave accept() waiting.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT_S)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self.visits += 1
            with suppress(OSError), raw, self._context.wrap_socket(raw, server_side=True) as tls:
                while more := tls.recv(4096):
                    self.received += more


@contextmanager
def impostor(chain: bytes, key: bytes, folder: Path) -> Iterator[Impostor]:
    made = Impostor(chain, key, folder)
    made.start()
    try:
        yield made
    finally:
        made.close()


async def test_nothing_is_sent_to_a_host_with_another_authority(
    site: Site, bundle: Path, tmp_path: Path
) -> None:
    other = issue(name="usbshare site")
    leaf = issue(other, names=["127.0.0.1"])
    with impostor(leaf.pem + other.pem, leaf.key_pem, tmp_path) as between:
        text = await refusal(invited(site, port=between.port), bundle, ImpostorError)
        assert between.visits == 1
        assert between.received == b""
    assert "is not the host of this invitation" in text
    assert "nothing was sent" in text


async def test_nothing_is_sent_to_a_host_that_shows_our_authority_with_another_certificate(
    site: Site, bundle: Path, tmp_path: Path
) -> None:
    other = issue(name="usbshare site")
    leaf = issue(other, names=["127.0.0.1"])
    chain = leaf.pem + site.ca_certificate.read_bytes()
    with impostor(chain, leaf.key_pem, tmp_path) as between:
        await refusal(invited(site, port=between.port), bundle, ImpostorError)
        assert between.received == b""


async def test_nothing_is_sent_to_a_client_of_the_site_that_plays_the_host(
    site: Site, bundle: Path, tmp_path: Path
) -> None:
    client = ClientBundle.load(site.client_bundle)
    with impostor(client.chain + client.authorities, client.key, tmp_path) as between:
        await refusal(invited(site, port=between.port), bundle, ImpostorError)
        assert between.received == b""


async def test_a_program_without_tls_is_reported(site: Site, bundle: Path) -> None:
    async with serving(None) as port:
        text = await refusal(invited(site, port=port), bundle, ConnectionRefusedByPeerError)
    assert "is not usbshare" in text


async def test_a_silent_host_is_not_waited_for_long(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = Target("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(ConnectionRefusedByPeerError, match="does not answer"):
            await asyncio.to_thread(expected_authority, target, bytes(32), utc_now(), 0.2)


async def test_a_wrong_clock_is_reported(site: Site) -> None:
    async with open_listener(site) as (_, port):
        sha256 = invited(site).authority_sha256
        arguments = (Target("127.0.0.1", port), sha256, utc_now() + timedelta(days=400), TIMEOUT_S)
        with pytest.raises(ConnectionRefusedByPeerError, match="set the clock"):
            await asyncio.to_thread(expected_authority, *arguments)


def test_a_certificate_that_is_good_is_kept_unless_forced(site: Site, tmp_path: Path) -> None:
    made = replace(invited(site, port=free_port()), service_port=free_port())
    with pytest.raises(ConfigError, match=rf"usbshare://{site.id}/operator.*--force"):
        require_replaceable(site.client_bundle, made)
    require_place(site.client_bundle)
    with pytest.raises(ConfigError, match="cannot"):
        require_place(tmp_path)


def test_a_certificate_that_is_good_for_nothing_makes_room(site: Site, tmp_path: Path) -> None:
    made = invited(site)
    same_name = replace(made, name="operator")
    assert "gets a new one" in require_replaceable(site.client_bundle, same_name)
    assert require_replaceable(tmp_path / "nothing.pem", made) == ""
    old, authority = tmp_path / "old.pem", issue()
    gone = issue(authority, names=["usbshare://site/pc"], from_days=-9, to_days=-1)
    old.write_bytes(gone.key_pem + gone.pem + authority.pem)
    assert "usbshare://site/pc expired on" in require_replaceable(old, made)


def test_the_name_on_a_certificate_of_another_site_means_nothing(
    site: Site, tmp_path: Path
) -> None:
    made = replace(invited(site), name="operator", authority_sha256=bytes(32))
    with pytest.raises(ConfigError, match="--force"):
        require_replaceable(site.client_bundle, made)


async def test_many_replays_at_once_give_one_certificate(site: Site) -> None:
    async with open_listener(site) as (_, port):
        token, target = invited(site, port=port).token, Target("127.0.0.1", port)
        calls = [call_enrol(target, authority(site), token, request_pem()) for _ in range(4)]
        found = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in found) == 1
    assert sum(isinstance(each, PermissionDeniedError) for each in found) == 3


async def test_calls_that_never_send_their_request_exclude_no_other(
    site: Site, bundle: Path
) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with open_listener(site) as (_, port):
        credentials = grpc.ssl_channel_credentials(site.ca_certificate.read_bytes())
        async with AsyncExitStack() as stack:
            silent = []
            for _ in range(40):
                channel = grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options)
                await stack.enter_async_context(channel)
                method = "/usbshare.access.v1.EnrolmentService/Enrol"
                call: grpc.aio.StreamUnaryCall[bytes, bytes] = channel.stream_unary(method)()
                await call.wait_for_connection()
                silent.append(call)
            newcomer = await enrolled(site, bundle, port)
            assert newcomer.expires > utc_now()
            left = [call for call in silent if not call.done()]
            assert len(left) <= MOST_OF_ONE_WAITING
            for call in silent:
                call.cancel()
