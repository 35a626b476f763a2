"""Host certificate and authority change while a job runs: real processes, nothing is lost."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from fakes.exchange import OneWay
from fakes.exchange_rig import Rig, rig
from fakes.processes import run
from usbshare.base.addresses import split_host_port
from usbshare.base.paths import write_private
from usbshare.rpc.tls import ClientBundle, ssl_context
from usbshare.trust import certificates
from usbshare.trust.authorities import load_authorities

DEADLINE_S = 60.0


def host_folder(home: Path) -> Path:
    return home / "config" / "usbshare"


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)  # another process changes a file: there is no event


def exchanging(made: Rig, size: int) -> list[OneWay]:
    ways = [
        OneWay(made.program, made.device, size, seed=1),
        OneWay(made.device, made.program, size, seed=2),
    ]
    for way in ways:
        way.start()
    return ways


def check_nothing_was_lost(made: Rig, ways: list[OneWay]) -> None:
    for way in ways:
        way.check()
    made.check_ends()
    for name in ("lost", "not_resumed", "hung_up", "closed", "losing", "not_renewed"):
        assert made.events(name) == []


def shown_by(made: Rig, bundle: ClientBundle) -> bytes | None:
    """Return the certificate that the service shows to a new connection."""
    with (
        socket.create_connection(split_host_port(made.target, 0), 20) as raw,
        ssl_context(bundle).wrap_socket(raw, server_hostname="127.0.0.1") as connection,
    ):
        return connection.getpeercert(binary_form=True)


def pki(home: Path, *words: str) -> str:
    code, output = run(["serial-svc", "pki", *words], home)
    assert code == 0, output
    return output


def lists_ports(made: Rig, bundle: Path) -> bool:
    words = ["bridge", "--target", made.target, "--bundle", str(bundle), "list", "--json"]
    code, output = run(words, made.home)
    return code == 0 and '"laser"' in output


def test_a_host_certificate_that_is_due_is_renewed_under_an_open_stream(tmp_path: Path) -> None:
    with rig(tmp_path) as made:
        site = host_folder(tmp_path) / "site"
        bundle = ClientBundle.load(host_folder(tmp_path) / "client.pem")
        key = certificates.load_key((site / "server.key").read_bytes())
        long_ago = datetime.now(UTC) - timedelta(days=80)
        authority = load_authorities(site, datetime.now(UTC)).host
        aged = certificates.issue_server(authority, key, ["localhost"], ["127.0.0.1"], long_ago)
        ways = exchanging(made, 4_000_000)
        write_private(site / "server.crt", certificates.certificate_pem(aged))

        def is_renewed() -> bool:
            found = x509.load_pem_x509_certificate((site / "server.crt").read_bytes())
            return found.not_valid_after_utc > datetime.now(UTC) + timedelta(days=89)

        until(is_renewed)
        renewed = x509.load_pem_x509_certificate((site / "server.crt").read_bytes())
        shown = shown_by(made, bundle)
        assert shown is not None
        assert x509.load_der_x509_certificate(shown) == renewed
        check_nothing_was_lost(made, ways)
        assert made.events("resumed") == []


def give_own(home: Path, path: Path) -> None:
    """Write a bundle of the operator that is no copy of another, as of a second PC."""
    bundle = ClientBundle.load(host_folder(home) / "client.pem")
    authority = load_authorities(host_folder(home) / "site", datetime.now(UTC)).clients
    key, (uri,) = certificates.new_key(), certificates.uris(bundle.certificate)
    issued = certificates.issue_client(authority, key, uri, datetime.now(UTC))
    pem = certificates.key_pem(key) + certificates.certificate_pem(issued)
    write_private(path, pem + bundle.authorities)


def test_an_authority_is_rolled_over_while_old_and_new_clients_work(tmp_path: Path) -> None:
    with rig(tmp_path) as made:
        client = host_folder(tmp_path) / "client.pem"
        old, late, new = (tmp_path / name for name in ("old.pem", "late.pem", "new.pem"))
        shutil.copy(client, old)
        give_own(tmp_path, late)
        old_site = ClientBundle.load(old).site
        ways = exchanging(made, 12_000_000)

        pki(tmp_path, "roll")
        until(lambda: len(ClientBundle.load(client).sites) == 2)  # the service renews its own
        made.wait_for("resumed", 1)  # and the bridge takes that over
        shutil.copy(client, new)
        assert lists_ports(made, old)
        assert lists_ports(made, new)
        words = ["bridge", "--target", made.target, "--bundle", str(late), "renew", "--force"]
        code, output = run(words, tmp_path)
        assert code == 0, output
        assert ClientBundle.load(late).site != old_site

        pki(tmp_path, "roll", "--finish")
        until(lambda: ClientBundle.load(client).sites == (ClientBundle.load(late).site,))
        made.wait_for("resumed", 2)
        for path in (client, new, late):
            assert lists_ports(made, path)
        assert not lists_ports(made, old)
        check_nothing_was_lost(made, ways)
