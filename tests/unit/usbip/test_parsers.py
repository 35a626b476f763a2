"""The messages as the kernel's documentation shows them, and what a parser refuses by its name."""

from __future__ import annotations

import struct

import pytest

from usbshare.base.errors import InvalidArgumentError
from usbshare.usbip.errors import UNLINKED, UsbipProtocolError
from usbshare.usbip.limits import Limits
from usbshare.usbip.messages import (
    HEADER_BYTES,
    DevlistReply,
    Direction,
    ExportedDevice,
    ImportRequest,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)
from usbshare.usbip.parsers import ReplyParser, RequestParser


def words(text: str) -> bytes:
    """Return the bytes of words as the kernel's documentation prints them."""
    return bytes.fromhex(text.replace(" ", ""))


# usbip_protocol.rst, "EXAMPLE": a HID device, captured from the wire. Its number of packets is 0
# and its start frame -1, where the tables ask for it the other way round.
INTERRUPT_IN = words(
    "00000001 00000d05 0001000f 00000001 00000001 00000200 00000040 ffffffff 00000000 00000004 "
    "00000000 00000000"
)
DEVICE = ExportedDevice("3-2", 3, 2, 0x1D50, 0x6089, interface_count=1)


def submit(**changed: int) -> bytes:
    fields = {
        "command": 1,
        "seqnum": 5,
        "devid": 0x10002,
        "direction": 0,
        "ep": 2,
        "flags": 0,
        "length": 0,
        "start": 0,
        "packets": 0xFFFFFFFF,
        "interval": 0,
        **changed,
    }
    return struct.pack("!10I8x", *fields.values())


def test_the_kernels_example_is_read() -> None:
    parser = RequestParser()
    parser.feed(INTERRUPT_IN)
    command = parser.command()
    assert isinstance(command, Submit)
    assert (command.seqnum, command.devid, command.endpoint) == (0xD05, 0x0001000F, 1)
    assert (command.direction, command.length, command.flags) == (Direction.IN, 0x40, 0x200)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"direction": 2}, "USBIP_CMD_SUBMIT.direction 2 is more than 1"),
        ({"ep": 16}, "USBIP_CMD_SUBMIT.ep 16 is more than 15"),
        ({"length": 65}, "USBIP_CMD_SUBMIT.transfer_buffer_length 65 is more than 64"),
        ({"length": 0xFFFFFFFF}, "transfer_buffer_length 4294967295 is more than 64"),
        ({"packets": 9}, "USBIP_CMD_SUBMIT.number_of_packets 9 is more than 8"),
        ({"packets": 0xFFFFFFFE}, "number_of_packets 4294967294 is more than 8"),
        ({"command": 3}, "command 0x3 is neither submit"),
    ],
)
def test_a_bad_command_is_refused_before_its_data_comes(
    changed: dict[str, int], named: str
) -> None:
    parser = RequestParser(Limits(transfer_bytes=64, iso_packets=8))
    parser.feed(submit(**changed))
    with pytest.raises(UsbipProtocolError) as refused:
        parser.command()
    assert named in str(refused.value)


def test_a_packet_outside_its_transfer_is_refused() -> None:
    parser = RequestParser()
    parser.feed(submit(direction=1, length=10, packets=1) + struct.pack("!IIII", 8, 3, 0, 0))
    with pytest.raises(UsbipProtocolError, match=r"iso_packet\[0\].offset \+ length 11 is more"):
        parser.command()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ("0106 8005 00000000", "OP_REQ.version 0x0106 is not 0x0111"),
        ("0111 8004 00000000", "OP_REQ.code 0x8004 is neither 0x8005"),
        ("0111 8003 00000000" + "31" * 32, "OP_REQ_IMPORT.busid"),
    ],
)
def test_a_bad_operation_is_refused_by_name(data: str, named: str) -> None:
    parser = RequestParser()
    parser.feed(words(data))
    with pytest.raises(UsbipProtocolError) as refused:
        parser.operation()
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ("0111 0005 00000000 ffffffff", "OP_REP_DEVLIST.numdevices 4294967295 is more than 256"),
        ("0111 0005 00000001 00000000", "OP_REP_DEVLIST.status 1 is not 0"),
        ("0111 0003 00000000 00000000", "OP_REP.code 0x0003 is not 0x0005"),
    ],
)
def test_a_bad_list_is_refused_by_name(data: str, named: str) -> None:
    parser = ReplyParser()
    parser.feed(words(data))
    with pytest.raises(UsbipProtocolError) as refused:
        parser.devices()
    assert named in str(refused.value)


def test_a_list_with_too_many_interfaces_is_refused_before_they_come() -> None:
    parser = ReplyParser()
    data = bytearray(DevlistReply((ExportedDevice("1-1", 1, 1, 1, 1),)).encode())
    data[-1] = 33
    parser.feed(bytes(data))
    with pytest.raises(UsbipProtocolError, match="bNumInterfaces 33 is more than 32"):
        parser.devices()


def test_an_answer_longer_than_asked_is_refused_before_its_data_comes() -> None:
    parser = ReplyParser()
    parser.expect(Submit(5, 1, Direction.IN, 1, 16))
    parser.feed(SubmitReply(5, 0, 17, b"").encode())
    with pytest.raises(UsbipProtocolError, match="actual_length 17 is more than 16"):
        parser.reply()


@pytest.mark.parametrize("answer", [SubmitReply(6), UnlinkReply(6, 0)])
def test_an_answer_that_nobody_asked_for_is_refused(answer: SubmitReply | UnlinkReply) -> None:
    parser = ReplyParser()
    parser.expect(Submit(5, 1, Direction.IN, 1, 16))
    parser.feed(answer.encode())
    with pytest.raises(UsbipProtocolError, match="seqnum 6 answers no request"):
        parser.reply()


def test_packets_that_are_not_the_whole_are_refused() -> None:
    parser = ReplyParser()
    asked = RequestParser()
    asked.feed(submit(direction=1, length=10, packets=1) + struct.pack("!IIII", 0, 10, 0, 0))
    command = asked.command()
    assert isinstance(command, Submit)
    parser.expect(command)
    head = struct.pack("!5IiIIII8x", 3, 5, 0, 0, 0, 0, 4, 0, 1, 0)
    parser.feed(head + b"data" + struct.pack("!IIII", 0, 10, 3, 0))
    with pytest.raises(UsbipProtocolError, match="actual_length 4 is not the sum of its packets"):
        parser.reply()


def test_an_answer_that_an_unlink_overtook_is_still_understood() -> None:
    # stub_tx.c sends what is finished and the answers to unlinks in turn: they can change places.
    parser = ReplyParser()
    parser.expect(Submit(5, 1, Direction.IN, 1, 16))
    parser.expect(Unlink(6, 1, 5))
    parser.feed(UnlinkReply(6, UNLINKED).encode() + SubmitReply(5, 0, 4, b"late").encode())
    assert parser.reply() == UnlinkReply(6, UNLINKED)
    assert parser.reply() == SubmitReply(5, 0, 4, b"late")


def test_the_number_of_packets_of_another_kind_of_transfer_is_no_matter() -> None:
    # The kernel's vhci and stub say 0 or what the driver left there.
    parser = ReplyParser()
    parser.expect(Submit(5, 1, Direction.IN, 1, 16))
    data = bytearray(SubmitReply(5, 0, 2, b"ok").encode())
    data[32:36] = bytes(4)
    parser.feed(bytes(data))
    assert parser.reply() == SubmitReply(5, 0, 2, b"ok")


def test_every_command_has_the_length_of_a_header() -> None:
    lengths = {len(each.encode()) for each in (Unlink(1, 2, 3), UnlinkReply(1, 0), SubmitReply(1))}
    assert lengths == {HEADER_BYTES}
    assert len(DevlistReply((DEVICE,) * 0).encode()) == 12


def test_a_bus_id_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"busid '.*' does not fit 31 bytes"):
        ImportRequest("1" * 32).encode()
