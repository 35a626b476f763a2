"""A real server and client with real certificates: who gets in, what the others are told."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fakes.certificates import (
    CLIENT,
    SERVER,
    Issued,
    issue,
    make_site,
    serving,
    write_bundle,
    write_site,
)
from usbshare.base.errors import ConfigError
from usbshare.base.host_names import HostNames
from usbshare.handshakes.unreachable import why_unreachable
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.identity import Identity, peer_identity
from usbshare.rpc.server import bind, make_server
from usbshare.rpc.tls import ClientBundle, server_credentials, ssl_context
from usbshare.trust.site import Site

# One loop for all: gRPC delivers what is left of one test in the next one's loop, and stumbles over
# a closed one.
pytestmark = pytest.mark.asyncio(loop_scope="session")

HOST = ("localhost", "127.0.0.1", "::1")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path / "host")


@pytest.fixture
def bundle(site: Site) -> ClientBundle:
    return ClientBundle.load(site.client_bundle)


@pytest.fixture
def ca() -> Issued:
    return issue(name="ca")


def client_of(folder: Path, client: Issued, *authorities: Issued) -> ClientBundle:
    """Return a bundle without asking whether it is any good."""
    path = write_bundle(folder / "client.pem", client, *authorities)
    pem = b"".join(ca.pem for ca in authorities)
    expires = client.certificate.not_valid_after_utc
    return ClientBundle(path, client.key_pem, client.pem, pem, expires)


def health(channel: grpc.aio.Channel) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(channel)  # its stub is that of the sync API
    return stub


async def call_look(channel: grpc.aio.Channel) -> None:
    """Call the method that a test added to its server."""
    call: Any = channel.unary_unary("/t/m")
    await call(b"", timeout=20)


async def check(port: int, bundle: ClientBundle | None, host: str = "127.0.0.1") -> int:
    """Ask the server's health; raises AioRpcError for those kept out."""
    async with open_channel(Target(host, port), bundle) as channel:
        stub = health(channel)
        response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        return int(response.status)


async def refusal(port: int, bundle: ClientBundle | None, host: str = "127.0.0.1") -> str:
    """Return the diagnosis, once gRPC has been refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(port, bundle, host)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    text = await why_unreachable(Target(host, port), bundle, 20)
    assert text is not None
    assert "\n" not in text
    return text


@asynccontextmanager
async def answering(answer: bytes, hold: bool = False) -> AsyncIterator[int]:
    """Listen as some other program, which answers the same to everybody; yields the port."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1)
            writer.write(answer)
            while hold and await reader.read(1024):
                pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextmanager
def refusing_by_alert(context: ssl.SSLContext) -> Iterator[int]:
    """Listen as a server of OpenSSL's, which says why it refuses; yields the port."""

    def shake_hands() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(ssl.SSLError), closing(connection):
                    context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=shake_hands)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def free_port() -> Iterator[int]:
    """Reserve a port at which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_sites_client_gets_in(site: Site, bundle: ClientBundle, host: str) -> None:
    async with serving(site) as port:
        assert await check(port, bundle, host) == health_pb2.HealthCheckResponse.SERVING
        assert await why_unreachable(Target(host, port), bundle, 20) is None


async def test_plaintext_on_loopback_gets_in() -> None:
    async with serving(None) as port:
        assert await check(port, None) == health_pb2.HealthCheckResponse.SERVING
        assert await why_unreachable(Target("127.0.0.1", port), None, 20) is None


async def identity_seen(site: Site | None, bundle: ClientBundle | None) -> Identity:
    seen: list[Identity] = []

    async def look(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        seen.append(peer_identity(context))
        return b""

    server = make_server()
    handler: Any = grpc.unary_unary_rpc_method_handler(look)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t", {"m": handler}),))
    async with (
        serving(site, server) as port,
        open_channel(Target("127.0.0.1", port), bundle) as channel,
    ):
        await call_look(channel)
    return seen[0]


async def test_identity_is_the_uri_of_the_certificate(site: Site, bundle: ClientBundle) -> None:
    identity = await identity_seen(site, bundle)
    assert identity.name == f"usbshare://{site.id}/operator"
    assert identity.address.startswith("127.0.0.1:")


async def test_a_certificate_without_an_identity_has_no_rights(tmp_path: Path, ca: Issued) -> None:
    host = write_site(tmp_path, ca, issue(ca, names=HOST, usage=SERVER))
    nobody = client_of(tmp_path, issue(ca, name="operator", usage=CLIENT), ca)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await identity_seen(host, nobody)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_identity_in_plaintext_is_insecure() -> None:
    assert (await identity_seen(None, None)).name == "insecure"


async def test_a_server_follows_its_renewed_certificate(site: Site, tmp_path: Path) -> None:
    bundle = ClientBundle.load(site.client_bundle)

    def shown(port: int) -> bytes | None:
        with (
            socket.create_connection(("127.0.0.1", port), 20) as raw,
            ssl_context(bundle).wrap_socket(raw, server_hostname="127.0.0.1") as connection,
        ):
            return connection.getpeercert(binary_form=True)

    async with serving(site) as port, open_channel(Target("127.0.0.1", port), bundle) as channel:
        stub = health(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
        await watch.read()
        first = await asyncio.to_thread(shown, port)
        make_site(site.folder, HostNames(("laser", "localhost"), ("127.0.0.1", "::1")))
        assert await asyncio.to_thread(shown, port) != first
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert not watch.done()
        watch.cancel()


async def test_a_damaged_renewal_keeps_the_certificate_in_use(
    site: Site, bundle: ClientBundle, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(site) as port:
        site.server_certificate.write_bytes(b"half written")
        assert await check(port, bundle)
    assert "keeping the previous server certificate" in caplog.text


async def test_an_expired_server_certificate_is_reported(tmp_path: Path, ca: Issued) -> None:
    host = write_site(tmp_path, ca, issue(ca, names=HOST, usage=SERVER, from_days=-9, to_days=-1))
    async with serving(host) as port:
        text = await refusal(port, client_of(tmp_path, issue(ca, usage=CLIENT), ca))
    assert f"certificate of 127.0.0.1:{port} expired on 20" in text
    assert "restart the service there" in text


async def test_a_server_certificate_of_the_future_is_reported(tmp_path: Path, ca: Issued) -> None:
    host = write_site(tmp_path, ca, issue(ca, names=HOST, usage=SERVER, from_days=1))
    async with serving(host) as port:
        text = await refusal(port, client_of(tmp_path, issue(ca, usage=CLIENT), ca))
    assert "valid only from 20" in text
    assert "set the clocks" in text


async def test_an_expired_client_certificate_is_reported(tmp_path: Path, ca: Issued) -> None:
    host = write_site(tmp_path, ca, issue(ca, names=HOST, usage=SERVER))
    client = client_of(tmp_path, issue(ca, usage=CLIENT, from_days=-9, to_days=-1), ca)
    async with serving(host) as port:
        text = await refusal(port, client)
    assert f"refuses the certificate in {client.path}: it expired on 20" in text


async def test_a_client_of_another_site_is_reported(site: Site, tmp_path: Path) -> None:
    other = make_site(tmp_path / "other")
    async with serving(site) as port:
        text = await refusal(port, ClientBundle.load(other.client_bundle))
    assert f"and {other.client_bundle} belong to different sites" in text
    assert "have the host invite this computer" in text


async def test_a_certificate_of_another_authority_is_reported(tmp_path: Path, ca: Issued) -> None:
    host = write_site(tmp_path, ca, issue(ca, names=HOST, usage=SERVER))
    client = client_of(tmp_path, issue(issue(name="other"), usage=CLIENT), ca)
    async with serving(host) as port:
        text = await refusal(port, client)
    assert "it belongs to another site than the CA certificate beside it" in text


async def test_a_refusal_without_visible_reason_names_the_likely_ones(
    tmp_path: Path, ca: Issued
) -> None:
    host = write_site(tmp_path, issue(name="newer"), issue(ca, names=HOST, usage=SERVER))
    client = issue(ca, names=["usbshare://older/operator"], usage=CLIENT)
    async with serving(host) as port:
        text = await refusal(port, client_of(tmp_path, client, ca))
    assert "it may belong to an older site, or the host's clock may be wrong" in text


async def test_a_server_that_alerts_is_understood(tmp_path: Path, ca: Issued) -> None:
    server = issue(ca, names=HOST, usage=SERVER)
    files = write_site(tmp_path, issue(name="another"), server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server_certificate, files.server_key)
    context.load_verify_locations(files.ca_certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    client = client_of(tmp_path, issue(ca, usage=CLIENT), ca)
    with refusing_by_alert(context) as port:
        text = await refusal(port, client)
    assert "it belongs to another site: have the host invite" in text


async def test_a_name_that_the_certificate_lacks_is_reported(tmp_path: Path) -> None:
    host = make_site(tmp_path, HostNames(("laser", "laser.local"), ("192.0.2.7", "::1")))
    async with serving(host) as port:
        bundle = ClientBundle.load(host.client_bundle)
        by_address = await refusal(port, bundle)
        by_name = await refusal(port, bundle, "localhost")
    assert "not for '127.0.0.1' but for laser, laser.local, 192.0.2.7, ::1" in by_address
    assert "add 'localhost' to `[tls] names`" in by_name


async def test_plaintext_to_a_tls_port_is_reported(site: Site) -> None:
    async with serving(site) as port:
        assert "leave out --insecure" in await refusal(port, None)


async def test_tls_to_a_plaintext_port_is_reported(bundle: ClientBundle) -> None:
    async with serving(None) as port:
        assert "start the service without --insecure" in await refusal(port, bundle)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_a_program_other_than_usbshare_is_reported(
    bundle: ClientBundle, answer: bytes
) -> None:
    async with answering(answer) as port:
        assert "is not usbshare" in await refusal(port, bundle)
        assert "is not usbshare" in await refusal(port, None)


async def test_a_silent_program_is_reported(bundle: ClientBundle) -> None:
    async with answering(b"", hold=True) as port:
        for mine in (bundle, None):
            text = await why_unreachable(Target("127.0.0.1", port), mine, 0.5)
            assert "accepts the connection but does not answer" in (text or "")


async def test_a_port_without_listener_is_reported(bundle: ClientBundle, free_port: int) -> None:
    text = await refusal(free_port, bundle)
    assert f"nothing listens at 127.0.0.1:{free_port}" in text
    assert "make run-services" in text


async def test_an_unknown_name_is_reported(bundle: ClientBundle) -> None:
    text = await refusal(50051, bundle, "nope.invalid")
    assert "the name of nope.invalid:50051 is unknown" in text


async def test_a_host_that_does_not_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def time_out(*_arguments: Any, **_options: Any) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", time_out)
    text = await why_unreachable(Target("192.0.2.9", 50051), None, 1)
    assert "192.0.2.9:50051 does not answer" in (text or "")


async def test_a_host_without_route_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_options: Any) -> socket.socket:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", fail)
    text = await why_unreachable(Target("192.0.2.9", 50051), None, 1)
    assert "(network is unreachable)" in (text or "")


async def test_a_bundle_that_vanished_is_reported(bundle: ClientBundle) -> None:
    bundle.path.unlink()
    text = await why_unreachable(Target("127.0.0.1", 50051), bundle, 1)
    assert "can no longer read" in (text or "")


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
async def test_tls_before_1_2_is_refused(
    site: Site, bundle: ClientBundle, version: ssl.TLSVersion, accepted: bool
) -> None:
    context = ssl_context(bundle)
    context.set_ciphers("ALL:@SECLEVEL=0")  # else our own side would already refuse 1.1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version

    def shake_hands(port: int) -> str | None:
        with (
            socket.create_connection(("127.0.0.1", port), 20) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
        ):
            return connection.version()

    async with serving(site) as port:
        if accepted:
            assert await asyncio.to_thread(shake_hands, port) == version.name.replace("_", ".")
        else:
            with pytest.raises(ssl.SSLError):
                await asyncio.to_thread(shake_hands, port)


async def test_no_certificate_no_connection(site: Site, bundle: ClientBundle) -> None:
    credentials = grpc.ssl_channel_credentials(bundle.authorities)
    async with (
        serving(site) as port,
        grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel,
    ):
        stub = health(channel)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)


async def test_a_port_in_use_is_reported_in_one_line() -> None:
    async with serving(None) as port:
        with pytest.raises(ConfigError) as caught:
            bind(make_server(), f"127.0.0.1:{port}", None)
    assert str(caught.value) == (
        f"cannot listen at 127.0.0.1:{port}: address already in use: "
        "stop the program there, or choose another address with --listen"
    )


async def test_a_wildcard_does_not_hide_a_port_in_use(site: Site) -> None:
    async with serving(None) as port:
        for wildcard in ("0.0.0.0", "[::]"):
            with pytest.raises(ConfigError, match="address already in use"):
                bind(make_server(), f"{wildcard}:{port}", server_credentials(site))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.99:50051", "cannot assign requested address"),
        ("nope.invalid:50051", "give an address of this computer"),
        ("nonsense:x", "--listen 'nonsense:x'"),
        (":50051", "--listen ':50051'"),
    ],
)
async def test_an_address_that_is_not_ours_is_reported(
    site: Site, address: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        bind(make_server(), address, server_credentials(site))


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "nope.invalid:0"])
async def test_plaintext_stays_on_loopback(address: str) -> None:
    with pytest.raises(ConfigError, match=r"refused to listen at .* without TLS"):
        bind(make_server(), address, None)


async def test_a_wildcard_port_is_chosen_and_reported(site: Site, bundle: ClientBundle) -> None:
    server = make_server()
    port = bind(server, "0.0.0.0:0", server_credentials(site))
    await server.start()
    assert port > 0
    assert await why_unreachable(Target("127.0.0.1", port), bundle, 20) is None
    await server.stop(None)


async def connections(site: Site | None, bundle: ClientBundle | None, own_connection: bool) -> int:
    """Count the TCP connections that two channels make."""
    addresses: set[str] = set()

    async def look(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        addresses.add(peer_identity(context).address)
        return b""

    server = make_server()
    handler: Any = grpc.unary_unary_rpc_method_handler(look)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t", {"m": handler}),))
    async with serving(site, server) as port:
        target = Target("127.0.0.1", port)
        async with (
            open_channel(target, bundle, own_connection) as one,
            open_channel(target, bundle, own_connection) as two,
        ):
            await call_look(one)
            await call_look(two)
    return len(addresses)


async def test_a_channel_has_a_separate_connection(site: Site, bundle: ClientBundle) -> None:
    assert await connections(site, bundle, own_connection=True) == 2


@pytest.mark.parametrize(("own", "count"), [(True, 2), (False, 1)])
async def test_plaintext_channels_share_a_connection_unless_asked(own: bool, count: int) -> None:
    assert await connections(None, None, own) == count


async def test_an_oversized_request_is_refused(site: Site, bundle: ClientBundle) -> None:
    async with (
        serving(site) as port,
        open_channel(Target("127.0.0.1", port), bundle) as channel,
    ):
        call: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(bytes(129 * 1024), timeout=20)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_certificate_may_be_for_another_name_than_the_address(
    tmp_path: Path, ca: Issued
) -> None:
    server = issue(ca, name="server", names=["laser.local"], usage=SERVER)
    bundle = client_of(tmp_path, issue(ca, usage=CLIENT), ca)
    async with serving(write_site(tmp_path / "host", ca, server)) as port:
        target = Target("127.0.0.1", port, tls_name="laser.local")
        async with open_channel(target, bundle) as channel:
            await health(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert await why_unreachable(target, bundle, 20) is None


async def test_a_certificate_that_lacks_the_name_asked_for_is_reported(
    site: Site, bundle: ClientBundle
) -> None:
    async with serving(site) as port:
        text = await why_unreachable(Target("127.0.0.1", port, "mill.local"), bundle, 20)
    assert text is not None
    assert "is not for 'mill.local' but for" in text
    assert "add 'mill.local' to `[tls] names`" in text


@pytest.mark.parametrize("host", ["::1", "::1%1"])
async def test_the_scope_of_an_address_is_not_in_a_certificate(
    site: Site, bundle: ClientBundle, host: str
) -> None:
    server = make_server()
    port = bind(server, "[::1]:0", server_credentials(site))
    async with serving(site, server):
        target = Target(host, port)
        assert target.certified_name == "::1"
        assert await why_unreachable(target, bundle, 20) is None
        async with open_channel(target, bundle) as channel:
            await health(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
