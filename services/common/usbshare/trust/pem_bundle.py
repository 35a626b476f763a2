"""A client's bundle as its file has it, taken apart without reading what its certificates say.

For a stop, which must not wait for the import of an X.509 library; the other side checks anyway.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----\r?\n?", re.DOTALL)
_CERTIFICATE = b"CERTIFICATE"
MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PemBundle:
    """A private key, its certificate and the authorities that vouch for a host, all PEM."""

    path: Path
    key: bytes = field(repr=False)
    chain: bytes
    authorities: bytes


def read_pem_bundle(path: Path) -> PemBundle | None:
    """Return the bundle, None unless the file has one key, then a certificate, then authorities.

    Raises OSError.
    """
    with path.open("rb") as file:
        found = [(block[1], block[0]) for block in _BLOCK.finditer(file.read(MOST_BYTES))]
    if len(found) < 3 or not found[0][0].endswith(b"PRIVATE KEY"):
        return None
    (_, key), (_, chain), *authorities = found
    if any(kind != _CERTIFICATE for kind, _ in found[1:]):
        return None
    return PemBundle(path, key, chain, b"".join(pem for _, pem in authorities))
