"""Makes pictures whole for every decoder: some cameras leave the Huffman tables to the reader."""

from __future__ import annotations

from usbshare.camera_svc.picture.jpeg import Outline

# The typical tables of ITU T.81 annex K.3 as one DHT segment: what motion JPEG without any means.
_STANDARD_TABLES = bytes.fromhex(
    "ffc401a20000010501010101010100000000000000000102030405060708090a0b100002010303020403"
    "050504040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1f02433"
    "627282090a161718191a25262728292a3435363738393a434445464748494a535455565758595a636465"
    "666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4"
    "b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8"
    "f9fa0100030101010101010101010000000000000102030405060708090a0b1100020102040403040705"
    "040400010277000102031104052131061241510761711322328108144291a1b1c109233352f0156272d1"
    "0a162434e125f11718191a262728292a35363738393a434445464748494a535455565758595a63646566"
    "6768696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4"
    "b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)


def complete(data: bytes, outline: Outline) -> bytes:
    """Return the picture without what pads it, with tables; the same object if nothing changes."""
    if outline.has_tables:
        return data if outline.end == len(data) else data[: outline.end]
    before, after = data[: outline.first_scan], data[outline.first_scan : outline.end]
    return before + _STANDARD_TABLES + after
