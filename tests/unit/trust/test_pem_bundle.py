"""A bundle taken apart is what the full reader finds in it; anything else is left to that."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.certificates import make_site
from usbshare.rpc.tls import ClientBundle
from usbshare.trust.pem_bundle import read_pem_bundle


def test_it_finds_what_the_full_reader_finds(tmp_path: Path) -> None:
    path = make_site(tmp_path).client_bundle
    found, full = read_pem_bundle(path), ClientBundle.load(path)
    assert found is not None
    parts = (found.key, found.chain, found.authorities)
    assert parts == (full.key, full.chain, full.authorities)
    assert "PRIVATE KEY" not in repr(found)


def test_text_between_the_blocks_is_no_part_of_them(tmp_path: Path) -> None:
    path = make_site(tmp_path).client_bundle
    blocks = path.read_bytes()
    noted = b"# mine\r\n" + blocks.replace(b"-----BEGIN", b"subject=me\n-----BEGIN")
    path.write_bytes(noted)
    found = read_pem_bundle(path)
    assert found is not None
    assert found.key + found.chain + found.authorities == blocks


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nx\n"])
def test_a_file_that_is_no_bundle_is_left_to_the_full_reader(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "client.pem"
    path.write_bytes(content)
    assert read_pem_bundle(path) is None


def test_a_bundle_in_another_order_is_left_to_the_full_reader(tmp_path: Path) -> None:
    path = make_site(tmp_path).client_bundle
    found = read_pem_bundle(path)
    assert found is not None
    for parts in (
        (found.chain, found.key, found.authorities),
        (found.key, found.chain),
        (found.key, found.key, found.authorities),
    ):
        path.write_bytes(b"".join(parts))
        assert read_pem_bundle(path) is None
