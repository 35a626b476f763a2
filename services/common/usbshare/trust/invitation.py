"""An invitation as one string: where to enrol, with which token, and whose authority to expect."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from usbshare.base.errors import InvalidArgumentError
from usbshare.base.usual_ports import SERIAL_PORT

PREFIX = "usbshare1."
TOKEN_BYTES = 16
LONGEST_STRING = 4000
LONGEST_TEXT = 255
_BYTE_ORDER_MARK = "\ufeff"  # at the beginning of what some editors save
_HASH_BYTES = 32
_CHECK_BYTES = 4
# Token, SHA-256 of the authority's key, end in seconds since 1970, port; then lines of text: name,
# role, `:PORT` of the serial service where that is not the usual one, addresses.
_HEAD = struct.Struct(f">{TOKEN_BYTES}s{_HASH_BYTES}sQH")


@dataclass(frozen=True, slots=True)
class Invitation:
    """What lets one computer in, once. `addresses`: where the host may be reached, best first.

    `port` is where to enrol, `service_port` where the serial service is.
    """

    name: str
    role: str
    addresses: tuple[str, ...]
    port: int
    token: bytes
    authority_sha256: bytes
    expires: datetime
    service_port: int = SERIAL_PORT

    def __repr__(self) -> str:
        return f"Invitation({self.name!r}, {self.role!r}, {self.addresses!r}, {self.port})"

    def encode(self) -> str:
        """Return it as a string of letters, digits, `-`, `_` and one dot."""
        end = int(self.expires.timestamp())
        head = _HEAD.pack(self.token, self.authority_sha256, end, self.port)
        is_usual = self.service_port == SERIAL_PORT
        service = [] if is_usual else [f":{self.service_port}"]
        content = head + "\n".join((self.name, self.role, *service, *self.addresses)).encode()
        text = base64.urlsafe_b64encode(content + _checksum(content))
        return PREFIX + text.rstrip(b"=").decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Invitation:
        """Read one, spaces and line ends anywhere; InvalidArgumentError if cut or altered."""
        content = _content("".join(text.split()).removeprefix(_BYTE_ORDER_MARK))
        try:
            token, authority, end, port = _HEAD.unpack_from(content)
            name, role, *addresses = content[_HEAD.size :].decode().split("\n")
            expires = datetime.fromtimestamp(end, UTC)
            service_port = _service_port(addresses)
        except (struct.error, ValueError, OverflowError, OSError):
            _refuse("it is not complete")
        if not (name and addresses and all(addresses) and port):
            _refuse("it is not complete")
        if not all(_is_plain(each) for each in (name, role, *addresses)):
            _refuse("it contains characters that are not allowed in a name or address")
        return cls(name, role, tuple(addresses), port, token, authority, expires, service_port)


def _is_plain(text: str) -> bool:
    """Return whether a text may reach a terminal: the maker of the string chose it."""
    return text.isprintable() and len(text) <= LONGEST_TEXT


def token_hash(token: bytes) -> str:
    """Return what the host keeps of a token; 128 random bits need no salt."""
    return hashlib.sha256(token).hexdigest()


def _service_port(lines: list[str]) -> int:
    """Take the serial service's port out of the lines, if it is there; ValueError if it is bad."""
    if not (lines and re.fullmatch(r":[0-9]{1,5}", lines[0])):
        return SERIAL_PORT
    if not 0 < (port := int(lines.pop(0)[1:])) < 65536:
        raise ValueError("no port")
    return port


def _content(text: str) -> bytes:
    if not text.startswith(PREFIX):
        _refuse(f"an invitation begins with {PREFIX}")
    if len(text) > LONGEST_STRING:
        _refuse("it is too long")
    encoded = text.removeprefix(PREFIX)
    try:
        found = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        _refuse("it contains invalid characters, or some are missing")
    content, check = found[:-_CHECK_BYTES], found[-_CHECK_BYTES:]
    if check != _checksum(content):
        _refuse("a part is missing or was changed")
    return content


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(PREFIX.encode() + content).digest()[:_CHECK_BYTES]


def _refuse(why: str) -> NoReturn:
    raise InvalidArgumentError(
        f"this is not a complete invitation ({why}): copy the whole string that `serial-svc pki "
        "invite` printed"
    )
