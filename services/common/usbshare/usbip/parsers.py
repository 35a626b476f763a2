"""Makes messages of bytes in any pieces; every length is checked before it is waited for.

A parser holds one unfinished message and what followed it in the last piece. After a
UsbipProtocolError the stream has no more meaning: close it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from usbshare.usbip.errors import UsbipProtocolError
from usbshare.usbip.limits import DEFAULT_LIMITS, Limits
from usbshare.usbip.messages import (
    BUSID_BYTES,
    COUNT,
    DEVICE,
    HEADER_BYTES,
    INTERFACE,
    ISO_PACKET,
    NOT_ISOCHRONOUS,
    OPERATION,
    SUBMIT,
    SUBMIT_REPLY,
    UNLINK,
    UNLINK_REPLY,
    VERSION,
    Command,
    DevlistReply,
    DevlistRequest,
    Direction,
    ExportedDevice,
    ImportReply,
    ImportRequest,
    InterfaceClass,
    IsoPacket,
    Operation,
    Status,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)

_KEPT_UNLINKED = 256
_HIGHEST_ENDPOINT = 15


class RequestParser:
    """What a server is sent: operations until a device is imported, commands from then on."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._unread = bytearray()

    @property
    def unread_bytes(self) -> int:
        """Bytes that wait for the rest of their message."""
        return len(self._unread)

    def feed(self, data: bytes) -> None:
        """Take bytes in."""
        self._unread += data

    def operation(self) -> DevlistRequest | ImportRequest | None:
        """Return the next operation, None if it is not complete; raises UsbipProtocolError."""
        if len(self._unread) < OPERATION.size:
            return None
        version, code, _ = OPERATION.unpack_from(self._unread)
        _check_version("OP_REQ", version)
        if code == Operation.REQ_DEVLIST:
            _drop(self._unread, OPERATION.size)
            return DevlistRequest()
        if code != Operation.REQ_IMPORT:
            raise UsbipProtocolError(
                f"OP_REQ.code {code:#06x} is neither {Operation.REQ_DEVLIST:#06x} (device list) "
                f"nor {Operation.REQ_IMPORT:#06x} (import)"
            )
        if len(self._unread) < OPERATION.size + BUSID_BYTES:
            return None
        busid = bytes(self._unread[OPERATION.size : OPERATION.size + BUSID_BYTES])
        _drop(self._unread, OPERATION.size + BUSID_BYTES)
        return ImportRequest(_text("OP_REQ_IMPORT.busid", busid))

    def command(self) -> Submit | Unlink | None:
        """Return the next command, None if it is not complete; raises UsbipProtocolError."""
        if len(self._unread) < HEADER_BYTES:
            return None
        command = int.from_bytes(self._unread[:4], "big")
        if command == Command.SUBMIT:
            return self._submit()
        if command != Command.UNLINK:
            raise UsbipProtocolError(f"command {command:#x} is neither submit (1) nor unlink (2)")
        _, seqnum, devid, _, _, target = UNLINK.unpack_from(self._unread)
        _drop(self._unread, HEADER_BYTES)
        return Unlink(seqnum, devid, target)

    def _submit(self) -> Submit | None:
        (
            _,
            seqnum,
            devid,
            direction,
            endpoint,
            flags,
            length,
            start_frame,
            count,
            interval,
            setup,
        ) = SUBMIT.unpack_from(self._unread)
        what = "USBIP_CMD_SUBMIT"
        _check_most(f"{what}.direction", direction, Direction.IN)
        _check_most(f"{what}.ep", endpoint, _HIGHEST_ENDPOINT)
        _check_most(f"{what}.transfer_buffer_length", length, self._limits.transfer_bytes)
        count = _packet_count(what, count, self._limits)
        sent = length if direction == Direction.OUT else 0
        end = HEADER_BYTES + sent + count * ISO_PACKET.size
        if len(self._unread) < end:
            return None
        data = bytes(self._unread[HEADER_BYTES : HEADER_BYTES + sent])
        packets = _packets(what, self._unread, HEADER_BYTES + sent, count, length)
        _drop(self._unread, end)
        return Submit(
            *(seqnum, devid, Direction(direction), endpoint, length, data, setup),
            *(flags, start_frame, interval, packets),
        )


class ReplyParser:
    """What a client is sent: the answer to its operation, then those to its commands.

    Whether data follows an answer is known only from what was asked: tell it by `expect`.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._unread = bytearray()
        self._submitted: dict[int, tuple[Direction, int, int]] = {}
        self._unlinks: dict[int, int] = {}
        self._unlinked: OrderedDict[int, tuple[Direction, int, int]] = OrderedDict()
        self._listed: list[ExportedDevice] = []
        self._listed_of: int | None = None

    @property
    def unread_bytes(self) -> int:
        """Bytes that wait for the rest of their message."""
        return len(self._unread)

    def feed(self, data: bytes) -> None:
        """Take bytes in."""
        self._unread += data

    def expect(self, command: Submit | Unlink) -> None:
        """Note what is about to be sent, whose answer is to come."""
        if isinstance(command, Unlink):
            self._unlinks[command.seqnum] = command.target
        else:
            shape = (command.direction, command.length, len(command.packets))
            self._submitted[command.seqnum] = shape

    def devices(self) -> DevlistReply | None:
        """Return the list of devices, None if it is not complete; raises UsbipProtocolError."""
        if self._listed_of is None and not self._begin_list():
            return None
        while len(self._listed) < (self._listed_of or 0):
            device = self._listed_device()
            if device is None:
                return None
            self._listed.append(device)
        devices, self._listed, self._listed_of = tuple(self._listed), [], None
        return DevlistReply(devices)

    def imported(self) -> ImportReply | None:
        """Return the answer to an import, None if it is not complete; raises as `devices`."""
        if not self._has_operation(Operation.REP_IMPORT):
            return None
        _, _, status = OPERATION.unpack_from(self._unread)
        if status != Status.OK:
            _drop(self._unread, OPERATION.size)
            return ImportReply(None, status)
        if len(self._unread) < OPERATION.size + DEVICE.size:
            return None
        device = self._device("OP_REP_IMPORT", OPERATION.size)
        _drop(self._unread, OPERATION.size + DEVICE.size)
        return ImportReply(device)

    def reply(self) -> SubmitReply | UnlinkReply | None:
        """Return the next answer to a command, None if it is not complete; raises as `devices`."""
        if len(self._unread) < HEADER_BYTES:
            return None
        command = int.from_bytes(self._unread[:4], "big")
        if command == Command.RET_SUBMIT:
            return self._submitted_reply()
        if command != Command.RET_UNLINK:
            raise UsbipProtocolError(
                f"command {command:#x} is neither the answer to a submit (3) nor to an unlink (4)"
            )
        _, seqnum, _, _, _, status = UNLINK_REPLY.unpack_from(self._unread)
        if seqnum not in self._unlinks:
            raise UsbipProtocolError(f"USBIP_RET_UNLINK.seqnum {seqnum} answers no request")
        self._forget(self._unlinks.pop(seqnum))
        _drop(self._unread, HEADER_BYTES)
        return UnlinkReply(seqnum, status)

    def _submitted_reply(self) -> SubmitReply | None:
        _, seqnum, _, _, _, status, actual, start, count, errors = SUBMIT_REPLY.unpack_from(
            self._unread
        )
        what = "USBIP_RET_SUBMIT"
        shape = self._submitted.get(seqnum) or self._unlinked.get(seqnum)
        if shape is None:
            raise UsbipProtocolError(f"{what}.seqnum {seqnum} answers no request")
        direction, length, most_packets = shape
        _check_most(f"{what}.actual_length", actual, length)
        if most_packets:
            count = _packet_count(what, count, self._limits)
            _check_most(f"{what}.number_of_packets", count, most_packets)
        else:
            count = 0  # the kernel and others say 0 or -1 here, or what they were told
        sent = actual if direction is Direction.IN else 0
        end = HEADER_BYTES + sent + count * ISO_PACKET.size
        if len(self._unread) < end:
            return None
        data = bytes(self._unread[HEADER_BYTES : HEADER_BYTES + sent])
        packets = _packets(what, self._unread, HEADER_BYTES + sent, count, length)
        if packets and direction is Direction.IN:
            _check_actual(what, packets, actual)
        _drop(self._unread, end)
        self._submitted.pop(seqnum, None)
        self._unlinked.pop(seqnum, None)
        return SubmitReply(seqnum, status, actual, data, start, errors, packets)

    def _forget(self, target: int) -> None:
        """Expect no answer any more, but be able to read one: the kernel's may overtake."""
        shape = self._submitted.pop(target, None)
        if shape is not None:
            self._unlinked[target] = shape
            if len(self._unlinked) > _KEPT_UNLINKED:
                self._unlinked.popitem(last=False)

    def _begin_list(self) -> bool:
        head = OPERATION.size + COUNT.size
        if not self._has_operation(Operation.REP_DEVLIST) or len(self._unread) < head:
            return False
        (count,) = COUNT.unpack_from(self._unread, OPERATION.size)
        _check_most("OP_REP_DEVLIST.numdevices", count, self._limits.devices)
        _drop(self._unread, head)
        self._listed_of = count
        return True

    def _listed_device(self) -> ExportedDevice | None:
        if len(self._unread) < DEVICE.size:
            return None
        device = self._device("OP_REP_DEVLIST", 0)
        end = DEVICE.size + device.interface_count * INTERFACE.size
        if len(self._unread) < end:
            return None
        classes = INTERFACE.iter_unpack(self._unread[DEVICE.size : end])
        _drop(self._unread, end)
        return replace(device, interfaces=tuple(InterfaceClass(*each) for each in classes))

    def _has_operation(self, expected: Operation) -> bool:
        """Return whether an answer has begun; raises UsbipProtocolError if it is another's."""
        if len(self._unread) < OPERATION.size:
            return False
        version, code, status = OPERATION.unpack_from(self._unread)
        _check_version("OP_REP", version)
        if code != expected:
            raise UsbipProtocolError(f"OP_REP.code {code:#06x} is not {expected:#06x}")
        if expected is Operation.REP_DEVLIST and status != Status.OK:
            raise UsbipProtocolError(f"OP_REP_DEVLIST.status {status} is not 0")
        return True

    def _device(self, what: str, at: int) -> ExportedDevice:
        path, busid, busnum, devnum, speed, *rest = DEVICE.unpack_from(self._unread, at)
        vid, pid, release, class_, subclass, protocol, value, configurations, interfaces = rest
        _check_most(f"{what}.bNumInterfaces", interfaces, self._limits.interfaces)
        return ExportedDevice(
            _text(f"{what}.busid", busid),
            *(busnum, devnum, vid, pid),
            path=_text(f"{what}.path", path),
            speed=speed,
            release=release,
            device_class=class_,
            device_subclass=subclass,
            device_protocol=protocol,
            configuration=value,
            configuration_count=configurations,
            interface_count=interfaces,
        )


def _packet_count(what: str, count: int, limits: Limits) -> int:
    if count == NOT_ISOCHRONOUS:
        return 0
    _check_most(f"{what}.number_of_packets", count, limits.iso_packets)
    return count


def _packets(what: str, data: bytearray, at: int, count: int, length: int) -> tuple[IsoPacket, ...]:
    if not count:
        return ()
    raw = ISO_PACKET.iter_unpack(data[at : at + count * ISO_PACKET.size])
    packets = tuple(IsoPacket(*each) for each in raw)
    for number, packet in enumerate(packets):
        where = f"{what}.iso_packet[{number}]"
        _check_most(f"{where}.offset + length", packet.offset + packet.length, length)
    return packets


def _check_actual(what: str, packets: tuple[IsoPacket, ...], actual: int) -> None:
    for number, packet in enumerate(packets):
        where = f"{what}.iso_packet[{number}]"
        _check_most(f"{where}.actual_length", packet.actual_length, packet.length)
    total = sum(packet.actual_length for packet in packets)
    if total != actual:
        raise UsbipProtocolError(
            f"{what}.actual_length {actual} is not the sum of its packets, {total}"
        )


def _check_version(what: str, version: int) -> None:
    if version != VERSION:
        raise UsbipProtocolError(f"{what}.version {version:#06x} is not {VERSION:#06x}")


def _check_most(field: str, value: int, most: int) -> None:
    if value > most:
        raise UsbipProtocolError(f"{field} {value} is more than {most}")


def _text(field: str, data: bytes) -> str:
    text, end, _ = data.partition(b"\0")
    if not end:
        raise UsbipProtocolError(f"{field} {data[:40]!r} has no end")
    return text.decode("utf-8", "surrogateescape")


def _drop(data: bytearray, size: int) -> None:
    del data[:size]
