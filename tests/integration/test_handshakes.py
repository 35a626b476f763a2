"""Every kind of bad certificate and bad handshake, against a real service.

None gets an RPC, each leaves a line in the log that an administrator understands, the bridge tells
its user which it is, and a good client works meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.attackers import (
    HALF_A_HELLO,
    PREFACE,
    SETTINGS_HEAD,
    Attack,
    Victim,
    distrusts,
    drips,
    half_open,
    is_hung_up,
    s_client,
    says,
)
from fakes.forged import (
    SERVER,
    Forge,
    Make,
    Signed,
    by_the_same_name,
    rsa_key,
    self_signed,
    signed_by_a_leaf,
    with_a_broken_signature,
)
from fakes.processes import Process, run, serial_service
from fakes.waiting import until
from usbshare.handshakes.unreachable import why_unreachable
from usbshare.rpc.channel import Target, open_channel, parse_target
from usbshare.rpc.status import error_from_rpc
from usbshare.rpc.tls import ClientBundle
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub
from usbshare.trust.site import Site

TIMEOUT_S = 30.0
HALF_OPEN = 4_000  # more than a process may usually have open
MOST_LINES_OF_A_FLOOD = 500


@dataclass(frozen=True, slots=True)
class Host:
    """A running serial service, its home, and the key of its authority."""

    home: Path
    service: Process
    target: Target
    forge: Forge

    @property
    def bundle(self) -> ClientBundle:
        return ClientBundle.load(self.forge.site.client_bundle)

    async def says(self, pattern: str, since: int) -> None:
        """Return once a line of the log matches that came after the first `since`."""
        lines = self.service.lines
        try:
            await until(lambda: any(re.search(pattern, line) for line in lines[since:]))
        except TimeoutError:
            pytest.fail(f"no line matches {pattern!r} in:\n" + "\n".join(lines[since:]))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    home = tmp_path_factory.mktemp("host")
    config = home / "usbshare.toml"
    config.write_text('[ports.laser]\nsource = "sim://grbl"\n')
    folder = home / "config" / "usbshare"
    folder.mkdir(parents=True)
    (folder / "policy.toml").write_text('[[grants]]\nwho = ["*"]\nrights = ["view"]\n')
    with serial_service(home, "--config", str(config)) as (service, target):
        site_id = service.wait_for(r"mTLS, site (\w+)")[1]
        site = Site(folder, site_id.ljust(64, "0"))
        yield Host(home, service, parse_target(target), Forge(site))


async def list_ports(channel: grpc.aio.Channel, *, patiently: bool = False) -> list[str]:
    """Call; patiently, try to connect more than once, as a bridge does."""
    stub: Any = SerialServiceStub(channel)
    request = pb.ListPortsRequest()
    reply = await stub.ListPorts(request, timeout=TIMEOUT_S, wait_for_ready=patiently)
    return [port.id for port in reply.ports]


async def list_ports_for_ever(channel: grpc.aio.Channel) -> None:
    while await list_ports(channel) == ["laser"]:  # noqa: ASYNC110  # until refused
        await asyncio.sleep(0.05)


async def call_once(target: Target, bundle: ClientBundle, *, patiently: bool = False) -> list[str]:
    async with open_channel(target, bundle) as channel:
        return await list_ports(channel, patiently=patiently)


@asynccontextmanager
async def a_good_client_at_work(host: Host) -> AsyncIterator[None]:
    """Call all the while over one connection, and at the end over a new one."""
    answered = 0

    async def work(channel: grpc.aio.Channel) -> None:
        nonlocal answered
        while True:
            assert await list_ports(channel, patiently=True) == ["laser"]
            answered += 1
            await asyncio.sleep(0.02)

    async with open_channel(host.target, host.bundle) as channel:
        working = asyncio.create_task(work(channel), name="good client")
        try:
            await until(lambda: working.done() or answered)
            yield
            before = answered
            await until(lambda: working.done() or answered > before)
            assert not working.done(), working.exception()
            assert await call_once(host.target, host.bundle, patiently=True) == ["laser"]
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def what_the_user_is_told(target: Target, bundle: ClientBundle) -> str:
    """Return what the bridge says of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call_once(target, bundle)
    code, told = caught.value.code(), str(error_from_rpc(caught.value))
    del caught
    gc.collect()  # what the error holds is a call, whose channel knocks for ever, closed or not
    if code is grpc.StatusCode.UNAVAILABLE:
        return await why_unreachable(target, bundle, TIMEOUT_S) or "nothing"
    return told


@dataclass(frozen=True, slots=True)
class Bad:
    """A certificate, what the host logs of it, and what its user is told."""

    name: str
    make: Make
    logged: str
    told: str


def uris(*texts: str) -> Make:
    return lambda forge: forge.sign(uris=[text.replace("SITE", forge.site.id) for text in texts])


OF_ANOTHER = "its certificate was issued by another authority than this site's"
BAD_CERTIFICATES = (
    Bad(
        "wrong CA",
        lambda forge: forge.sign(issuer=forge.other_authority()),
        OF_ANOTHER,
        "belongs to another site than the CA certificate beside it",
    ),
    Bad(
        "wrong CA of the same name",
        lambda forge: forge.sign(issuer=forge.same_name_authority()),
        "its signature does not match|of another authority",
        "belongs to another site than the CA certificate beside it",
    ),
    Bad(
        "wrong CA of the same name, shown along",
        by_the_same_name,
        "its signature does not match|of another authority",
        "belongs to another site than the CA certificate beside it",
    ),
    Bad("self-signed", self_signed, "its certificate is self-signed", "is self-signed"),
    Bad(
        "expired",
        lambda forge: forge.sign(starts=timedelta(days=-9), ends=timedelta(days=-1)),
        "its certificate has expired by this computer's clock",
        "it expired on 20",
    ),
    Bad(
        "not yet valid",
        lambda forge: forge.sign(starts=timedelta(days=1)),
        "its certificate is not valid yet",
        "it is valid only from 20",
    ),
    Bad(
        "a server's",
        lambda forge: forge.sign(usage=SERVER),
        "its certificate is not for clients",
        "is not for clients",
    ),
    Bad(
        "without usage",
        lambda forge: forge.sign(usage=None),
        "refused ListPorts .* certificate is not for clients",
        "certificate is not for clients",
    ),
    Bad(
        "an authority's",
        lambda forge: forge.sign(is_authority=True),
        "refused ListPorts .* is an authority's certificate",
        "is an authority's certificate",
    ),
    Bad(
        "signed by a leaf",
        signed_by_a_leaf,
        "signed with a certificate that must not sign",
        "belongs to another site than the CA certificate beside it",
    ),
    Bad(
        "with a broken signature",
        with_a_broken_signature,
        "its signature does not match",
        "belongs to another site than the CA certificate beside it",
    ),
    Bad(
        "without SAN",
        uris(),
        "certificate carries no usbshare identity",
        "carries no usbshare identity",
    ),
    Bad(
        "another URI",
        uris("https://example.org/x"),
        "certificate carries no usbshare identity .* only 'https://example.org/x'",
        "carries no usbshare identity",
    ),
    Bad(
        "several identities",
        uris("usbshare://SITE/operator", "usbshare://SITE/visitor"),
        "certificate carries 2 identities",
        "carries 2 identities",
    ),
    Bad("an empty identity", uris("usbshare://SITE/"), "is not an identity", "is not an identity"),
    Bad(
        "an identity of another site",
        uris("usbshare://0123456789ab/operator"),
        "does not belong to this site",
        "does not belong to this site",
    ),
    Bad(
        "an identity like a path",
        uris("usbshare://SITE/../../admins"),
        "is not an identity",
        "is not an identity",
    ),
    Bad(
        "RSA of 1024 bits",
        lambda forge: forge.sign(key=rsa_key(1024)),
        "key of 1024 bits|type of key that is not allowed here",
        "key of 1024 bits",
    ),
)


@pytest.mark.parametrize("bad", BAD_CERTIFICATES, ids=lambda bad: bad.name)
async def test_a_bad_certificate_gets_no_rpc(host: Host, bad: Bad, tmp_path: Path) -> None:
    bundle = host.forge.bundle(tmp_path, bad.make(host.forge))
    async with a_good_client_at_work(host):
        since = len(host.service.lines)
        assert re.search(bad.told, await what_the_user_is_told(host.target, bundle))
        await host.says(bad.logged, since)


NO_TLS = "it does not speak TLS"
BAD_HANDSHAKES: dict[str, tuple[Attack, str]] = {
    "s_client without certificate, TLS 1.3": (
        s_client("-tls1_3", "-alpn", "h2"),
        "it presented no certificate",
    ),
    "s_client without certificate, TLS 1.2": (
        s_client("-tls1_2", "-alpn", "h2"),
        "it presented no certificate",
    ),
    "TLS 1.0": (s_client("-tls1", "-cipher", "ALL:@SECLEVEL=0"), "only TLS before 1.2"),
    "TLS 1.1": (s_client("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "only TLS before 1.2"),
    "no HTTP/2": (s_client(with_certificate=True), "TLS, but not HTTP/2"),
    "HTTP/1.1": (s_client("-alpn", "http/1.1", with_certificate=True), "TLS, but not HTTP/2"),
    "weak encryption": (
        s_client("-tls1_2", "-cipher", "NULL:@SECLEVEL=0", "-alpn", "h2"),
        "no cipher in common",
    ),
    "renegotiation": (
        s_client("-tls1_2", "-alpn", "h2", with_certificate=True, typed=b"R\n"),
        "tried to renegotiate",
    ),
    "plaintext gRPC": (says(PREFACE), NO_TLS),
    "plaintext HTTP": (says(b"GET / HTTP/1.1\r\nHost: laser\r\n\r\n"), "it speaks plain HTTP"),
    "garbage": (says(bytes(range(1, 200))), NO_TLS),
    "a SSH client": (says(b"SSH-2.0-OpenSSH_9.6\r\n"), NO_TLS),
    "SSL 2": (says(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37)), NO_TLS),
    "a record that is too long": (
        says(b"\x16\x03\x01\xff\xff" + bytes(70_000)),
        "invalid TLS data",
    ),
    "an alert first": (says(b"\x15\x03\x01\x00\x02\x02\x28"), "it refuses this host's certificate"),
    "half a hello, then the end": (
        says(HALF_A_HELLO, hangs_up=True),
        "lost .* it disconnected before the handshake was complete",
    ),
    "half a hello, then a reset": (
        says(HALF_A_HELLO, resets=True),
        "lost .* it disconnected before the handshake was complete",
    ),
}
# The service waits as long for each: all at the same time.
UNFINISHED: dict[str, Attack] = {
    "127.0.0.96": says(b""),
    "127.0.0.97": says(HALF_A_HELLO),
    "127.0.0.98": drips(HALF_A_HELLO, 0.5),
}


@pytest.fixture
def certificate(host: Host, tmp_path: Path) -> Path:
    """A good certificate of the site, with its key."""
    path, good = tmp_path / "good.pem", host.forge.sign()
    path.write_bytes(good.key_pem + good.chain_pem)
    return path


@pytest.mark.parametrize("name", BAD_HANDSHAKES)
async def test_a_bad_handshake_gets_no_rpc(host: Host, name: str, certificate: Path) -> None:
    attack, logged = BAD_HANDSHAKES[name]
    # Each from an address of its own: what one does often is told as a number.
    source = f"127.0.0.{100 + list(BAD_HANDSHAKES).index(name)}"
    async with a_good_client_at_work(host):
        since = len(host.service.lines)
        heard = await asyncio.to_thread(attack, Victim(host.target, certificate, source))
        assert SETTINGS_HEAD not in heard or name == "renegotiation"
        await host.says(logged, since)


async def test_a_handshake_without_an_end_is_ended(host: Host, certificate: Path) -> None:
    async with a_good_client_at_work(host):
        since = len(host.service.lines)
        victims = [Victim(host.target, certificate, source) for source in UNFINISHED]
        attacks = map(asyncio.to_thread, UNFINISHED.values(), victims)
        for heard in await asyncio.gather(*attacks):
            assert SETTINGS_HEAD not in heard
        for source in UNFINISHED:
            await host.says(f"{source}.*did not finish its handshake in time", since)


async def test_a_certificate_that_ends_while_connected_ends_with_it(
    host: Host, tmp_path: Path
) -> None:
    short = host.forge.sign(ends=timedelta(seconds=3))
    bundle = host.forge.bundle(tmp_path, short)
    since = len(host.service.lines)
    async with a_good_client_at_work(host), open_channel(host.target, bundle) as channel:
        assert await list_ports(channel) == ["laser"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await list_ports_for_ever(channel)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "expired" in str(error_from_rpc(caught.value))
    await host.says("refused ListPorts .*certificate expired", since)


async def test_a_revoked_certificate_is_reported_and_logged(host: Host, tmp_path: Path) -> None:
    uri = f"usbshare://{host.forge.site.id}/lost-laptop"
    bundle = host.forge.bundle(tmp_path, host.forge.sign(uris=[uri]))
    assert await call_once(host.target, bundle) == ["laser"]
    since = len(host.service.lines)
    code, output = await asyncio.to_thread(run, ["serial-svc", "pki", "revoke", uri], host.home)
    assert code == 0, output
    async with a_good_client_at_work(host):
        async with open_channel(host.target, bundle) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await list_ports_for_ever(channel)
        assert "revoked" in await what_the_user_is_told(host.target, bundle)
        await host.says("refused ListPorts of .*revoked", since)


async def test_a_renewed_certificate_is_as_good_and_so_is_the_one_before(
    host: Host, tmp_path: Path
) -> None:
    first = host.forge.bundle(tmp_path, host.forge.sign())
    async with open_channel(host.target, first) as channel:
        assert await list_ports(channel) == ["laser"]
        renewed = host.forge.bundle(tmp_path, host.forge.sign())
        assert await call_once(host.target, renewed) == ["laser"]
        assert await list_ports(channel) == ["laser"]


async def test_a_client_that_asks_for_another_name_is_reported(host: Host) -> None:
    since = len(host.service.lines)
    async with a_good_client_at_work(host):
        wrong = replace(host.target, tls_name="mill.example")
        told = await what_the_user_is_told(wrong, host.bundle)
        assert "is not for 'mill.example' but for" in told
        await host.says("it refuses this host's certificate", since)


async def test_a_client_of_another_site_is_reported_and_logged(host: Host, tmp_path: Path) -> None:
    other = host.forge.other_authority()
    client = host.forge.sign(issuer=other)
    bundle = host.forge.bundle(tmp_path, client)
    trusting = replace(bundle, authorities=Signed(other.certificate, other.key).chain_pem)
    trusting.path.write_bytes(client.key_pem + client.chain_pem + trusting.authorities)
    said = "it refuses this host's certificate"
    async with a_good_client_at_work(host):
        since = len(host.service.lines)
        assert "belong to different sites" in await what_the_user_is_told(host.target, trusting)
        # The client's alert races the end of its connection: where that comes first, it has left.
        await host.says(f"{said}|it disconnected before the handshake was complete", since)
        since = len(host.service.lines)
        refuses = distrusts(trusting.authorities, trusting.path)
        victim = Victim(host.target, trusting.path, "127.0.0.99")
        await asyncio.to_thread(refuses, victim)
        await host.says(f"127.0.0.99.*{said}", since)


async def test_thousands_of_half_open_connections_leave_room(host: Host, tmp_path: Path) -> None:
    since = len(host.service.lines)
    victim = Victim(host.target, tmp_path)
    async with a_good_client_at_work(host):
        attack = half_open(victim, HALF_OPEN)
        connections = await asyncio.to_thread(attack.__enter__)
        try:
            assert await call_once(host.target, host.bundle, patiently=True) == ["laser"]
            await until(lambda: all(map(is_hung_up, connections[::100])), timeout_s=60)
        finally:
            await asyncio.to_thread(attack.__exit__, None, None, None)
        await host.says("did not finish its handshake in time", since)
    assert len(host.service.lines) - since < MOST_LINES_OF_A_FLOOD
    await until(lambda: open_files(host.service) < 200, timeout_s=60)


def open_files(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.process.pid}/fd"))
