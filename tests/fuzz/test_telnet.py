"""Whatever a program sends to a telnet port, in whatever pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from usbshare.bridge.local_ports.telnet import (
    LARGEST_COMMAND_BYTES,
    Command,
    TelnetError,
    escape,
    take_item,
)

tokens = st.sampled_from(
    [b"\xff", b"\xff\xff", b"\xff\xf0", b"\xff\xfa", b"\xff\xfb\x2c", b"\xff\xf1", b"\xfa", b"x"]
)
streams = st.lists(st.one_of(tokens, st.binary(max_size=20)), max_size=30).map(b"".join)
cuts = st.lists(st.integers(0, 300), max_size=12)


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut for cut in at if cut < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]


def decoded(parts: list[bytes], most: int) -> tuple[bytes, list[bytes], bytes | None]:
    """Return the program's bytes, the commands, and what is left; None for no telnet."""
    unread, program = bytearray(), b""
    commands: list[bytes] = []
    for part in parts:
        unread += part
        while True:
            size = len(unread)
            try:
                item = take_item(unread, most)
            except TelnetError:
                return program, commands, None
            if item is None:
                break
            assert len(unread) < size
            if isinstance(item, Command):
                commands.append(item.raw)
            else:
                assert 0 < len(item) <= most
                program += item
    assert len(unread) <= LARGEST_COMMAND_BYTES
    return program, commands, bytes(unread)


@given(data=st.binary(max_size=300), at=cuts, most=st.integers(1, 64))
def test_escaped_bytes_come_back(data: bytes, at: list[int], most: int) -> None:
    assert decoded(pieces(escape(data), at), most) == (data, [], b"")


@given(data=streams, at=cuts, most=st.integers(1, 64))
def test_any_split_of_the_bytes_gives_the_same_result(
    data: bytes, at: list[int], most: int
) -> None:
    assert decoded(pieces(data, at), most) == decoded([data], most)


@given(data=streams, most=st.integers(1, 64))
def test_every_byte_belongs_to_the_program_or_to_a_command_or_waits(data: bytes, most: int) -> None:
    program, commands, left = decoded([data], most)
    if left is not None:
        assert len(escape(program)) + sum(map(len, commands)) + len(left) == len(data)


@given(size=st.integers(0, 600))
def test_a_subnegotiation_without_an_end_is_refused(size: int) -> None:
    _, _, left = decoded([b"\xff\xfa" + b"x" * size], 64)
    assert (left is None) == (size + 3 > LARGEST_COMMAND_BYTES)
