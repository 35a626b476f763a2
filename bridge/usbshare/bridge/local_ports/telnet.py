"""Telnet as RFC 854 frames it: the program's bytes, and the commands between them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_COMMAND_BYTES = 256

_IAC = 0xFF
_SUBNEGOTIATION = 0xFA
_SUBNEGOTIATION_END = 0xF0
_OPTIONS = range(0xFB, 0xFF)  # WILL, WONT, DO, DONT: one byte follows


class TelnetError(Exception):
    """What was received is not telnet."""


@dataclass(frozen=True, slots=True)
class Command:
    """A whole command, as received from its IAC on."""

    raw: bytes

    @property
    def is_negotiation(self) -> bool:
        """Whether it is about an option, and no lone code such as NOP."""
        return len(self.raw) > 2


def escape(data: bytes) -> bytes:
    """Double what telnet would take for the beginning of a command."""
    return data.replace(b"\xff", b"\xff\xff")


def take_item(unread: bytearray, most_bytes: int) -> bytes | Command | None:
    """Remove and return the next command or run of at most so many program bytes, unescaped.

    None when there is no whole item; program bytes stay at 0. Raises TelnetError.
    """
    if not unread:
        return None
    if unread[0] != _IAC:
        end = unread.find(_IAC)
        return _cut(unread, min(most_bytes, len(unread) if end < 0 else end)) or None
    if unread[1:2] == b"\xff":
        return _cut(unread, 2)[:1] if most_bytes else None
    length = _command_bytes(unread)
    return Command(_cut(unread, length)) if length <= len(unread) else None


def _command_bytes(unread: bytearray) -> int:
    """Return how long the command is, or one more than there is of it."""
    if len(unread) < 2:
        return 2
    if unread[1] in _OPTIONS:
        return 3
    if unread[1] == _SUBNEGOTIATION:
        return _subnegotiation_bytes(unread)
    return 2


def _subnegotiation_bytes(unread: bytearray) -> int:
    at = unread.find(_IAC, 2)
    while 0 <= at < len(unread) - 1 and unread[at + 1] == _IAC:
        at = unread.find(_IAC, at + 2)
    is_whole = 0 <= at < len(unread) - 1
    if is_whole and unread[at + 1] != _SUBNEGOTIATION_END:
        raise TelnetError(f"a subnegotiation is cut off by the command {unread[at + 1]:#04x}")
    length = at + 2 if is_whole else len(unread) + 1
    if length > LARGEST_COMMAND_BYTES:
        raise TelnetError(f"a subnegotiation is longer than {LARGEST_COMMAND_BYTES} bytes")
    return length


def _cut(unread: bytearray, size: int) -> bytes:
    data = bytes(unread[:size])
    del unread[:size]
    return data
