"""Messages of USB/IP as hypothesis makes them up."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st

from usbshare.usbip.messages import (
    DevlistReply,
    DevlistRequest,
    Direction,
    ExportedDevice,
    ImportReply,
    ImportRequest,
    InterfaceClass,
    IsoPacket,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)

bytes_ = st.integers(0, 0xFF)
words = st.integers(0, 0xFFFF)
longs = st.integers(0, 0xFFFF_FFFF)
statuses = st.integers(-0x8000_0000, 0x7FFF_FFFF)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=7)
classes = st.builds(InterfaceClass, bytes_, bytes_, bytes_)
imported = st.builds(
    ExportedDevice,
    names,
    *(longs, longs, words, words),
    path=names,
    speed=longs,
    release=words,
    device_class=bytes_,
    device_subclass=bytes_,
    device_protocol=bytes_,
    configuration=bytes_,
    configuration_count=bytes_,
    interface_count=st.integers(0, 32),
)
listed = st.tuples(imported, st.lists(classes, max_size=32)).map(
    lambda both: replace(both[0], interface_count=len(both[1]), interfaces=tuple(both[1]))
)
operations = st.one_of(st.builds(DevlistRequest), st.builds(ImportRequest, names))
device_lists = st.lists(listed, max_size=4).map(lambda each: DevlistReply(tuple(each)))
imports = st.one_of(
    st.builds(ImportReply, imported),
    st.integers(1, 0xFFFF_FFFF).map(lambda status: ImportReply(None, status)),
)
unlinks = st.builds(Unlink, longs, longs, longs)


@st.composite
def submits(draw: st.DrawFn, most_bytes: int = 200) -> Submit:
    """A transfer of any kind, with all its data."""
    direction = draw(st.sampled_from(Direction))
    data = draw(st.binary(max_size=most_bytes))
    packets = draw(st.one_of(st.just(()), iso_packets(len(data))))
    return Submit(
        *(draw(longs), draw(longs), direction, draw(st.integers(0, 15)), len(data)),
        data if direction is Direction.OUT else b"",
        draw(st.binary(min_size=8, max_size=8)),
        *(draw(longs), draw(longs), draw(longs)),
        packets,
    )


@st.composite
def iso_packets(draw: st.DrawFn, length: int) -> tuple[IsoPacket, ...]:
    """One packet or more within so many bytes."""
    edges = sorted(draw(st.lists(st.integers(0, length), min_size=2, max_size=6)))
    return tuple(IsoPacket(at, end - at, 0, draw(statuses)) for at, end in pairwise(edges))


@st.composite
def answers(draw: st.DrawFn, command: Submit | Unlink) -> SubmitReply | UnlinkReply:
    """An answer that fits the command."""
    if isinstance(command, Unlink):
        return UnlinkReply(command.seqnum, draw(statuses))
    packets = tuple(
        replace(each, actual_length=draw(st.integers(0, each.length))) for each in command.packets
    )
    actual = sum(each.actual_length for each in packets)
    if not packets:
        actual = draw(st.integers(0, command.length))
    data = draw(st.binary(min_size=actual, max_size=actual))
    data = data if command.direction is Direction.IN else b""
    status, start, errors = draw(statuses), draw(longs), draw(longs)
    return SubmitReply(command.seqnum, status, actual, data, start, errors, packets)
