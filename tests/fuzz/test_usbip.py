"""Whatever comes from the other side of USB/IP, in whatever pieces."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fakes.usbip_messages import (
    answers,
    device_lists,
    imports,
    operations,
    submits,
    unlinks,
)
from usbshare.usbip.errors import UsbipProtocolError
from usbshare.usbip.limits import Limits
from usbshare.usbip.messages import (
    DEVICE,
    HEADER_BYTES,
    ISO_PACKET,
    DevlistReply,
    DevlistRequest,
    ImportReply,
    ImportRequest,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)
from usbshare.usbip.parsers import ReplyParser, RequestParser

cuts = st.lists(st.integers(0, 3000), max_size=12)
commands = st.lists(st.one_of(submits(), unlinks), max_size=5, unique_by=lambda each: each.seqnum)
heads = st.sampled_from(
    [
        *(bytes.fromhex(text) for text in ("0111800500000000", "0111800300000000", "00000001")),
        *(bytes.fromhex(text) for text in ("0111000500000000", "0111000300000000", "00000002")),
        *(bytes.fromhex(text) for text in ("00000003", "00000004", "ffffffff", "00000000")),
    ]
)
rubbish = st.lists(st.one_of(heads, st.binary(max_size=60)), max_size=12).map(b"".join)
SMALL = Limits(transfer_bytes=64, iso_packets=5, devices=2, interfaces=2)
MOST_HELD_BYTES = max(HEADER_BYTES + 64 + 5 * ISO_PACKET.size, DEVICE.size + 2 * 4)


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut for cut in at if cut < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]


def parsed(parser: Any, take: Callable[[], object], parts: list[bytes]) -> list[object]:
    """Return every message in the pieces."""
    found = []
    for part in parts:
        parser.feed(part)
        while (message := take()) is not None:
            found.append(message)
    return found


@given(sent=st.lists(operations, max_size=4), at=cuts)
def test_an_operation_comes_back_as_it_was(
    sent: list[DevlistRequest | ImportRequest], at: list[int]
) -> None:
    parser = RequestParser()
    data = b"".join(each.encode() for each in sent)
    assert parsed(parser, parser.operation, pieces(data, at)) == sent


@given(sent=device_lists, at=cuts)
def test_a_list_of_devices_comes_back_as_it_was(sent: DevlistReply, at: list[int]) -> None:
    parser = ReplyParser()
    assert parsed(parser, parser.devices, pieces(sent.encode(), at)) == [sent]


@given(sent=imports, at=cuts)
def test_the_answer_to_an_import_comes_back_as_it_was(sent: ImportReply, at: list[int]) -> None:
    parser = ReplyParser()
    assert parsed(parser, parser.imported, pieces(sent.encode(), at)) == [sent]


@given(sent=commands, at=cuts)
def test_commands_come_back_as_they_were(sent: list[Submit | Unlink], at: list[int]) -> None:
    parser = RequestParser()
    data = b"".join(each.encode() for each in sent)
    assert parsed(parser, parser.command, pieces(data, at)) == sent


@given(asked=commands, at=cuts, data=st.data())
def test_answers_come_back_as_they_were(
    asked: list[Submit | Unlink], at: list[int], data: st.DataObject
) -> None:
    parser = ReplyParser()
    for each in asked:
        parser.expect(each)
    answered: list[SubmitReply | UnlinkReply] = [
        data.draw(answers(each)) for each in data.draw(st.permutations(asked))
    ]
    sent = b"".join(each.encode() for each in answered)
    assert parsed(parser, parser.reply, pieces(sent, at)) == answered


@given(data=rubbish, at=cuts)
def test_a_server_accepts_or_refuses_and_never_buffers_more_than_a_message(
    data: bytes, at: list[int]
) -> None:
    for take in (RequestParser.operation, RequestParser.command):
        outcomes = [_outcome(RequestParser(SMALL), take, pieces(data, cut)) for cut in (at, [])]
        assert outcomes[0] == outcomes[1]


@given(data=rubbish, at=cuts, asked=st.lists(submits(64), max_size=3))
def test_a_client_accepts_or_refuses_and_never_buffers_more_than_a_message(
    data: bytes, at: list[int], asked: list[Submit]
) -> None:
    for take in (ReplyParser.devices, ReplyParser.imported, ReplyParser.reply):
        outcomes = []
        for cut in (at, []):
            parser = ReplyParser(SMALL)
            for each in asked:
                parser.expect(each)
            outcomes.append(_outcome(parser, take, pieces(data, cut)))
        assert outcomes[0] == outcomes[1]


def _outcome(
    parser: Any, take: Callable[[Any], object], parts: list[bytes]
) -> tuple[list[object], str]:
    """Return the messages and the refusal; at most one unfinished message waits meanwhile."""
    found: list[object] = []
    for part in parts:
        parser.feed(part)
        try:
            while (message := take(parser)) is not None:
                found.append(message)
            assert parser.unread_bytes < MOST_HELD_BYTES
        except UsbipProtocolError as error:
            return found, str(error)
    return found, ""
