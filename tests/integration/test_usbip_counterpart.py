"""USB/IP as somebody else wrote it, PyPI's `usbip`, at either end."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import usbip  # type: ignore[import-untyped]
from usbip.classes.device.cdc_acm import CDCACM, LineCoding  # type: ignore[import-untyped]
from usbip.device import In, Out, USBDevice  # type: ignore[import-untyped]
from usbip.function import Interface  # type: ignore[import-untyped]

from fakes.usbip_device import FakeAcmDevice
from fakes.usbip_models import acm_model
from fakes.usbip_server import usbip_server
from fakes.waiting import until
from usbshare.line.settings import Completion, LineSettings, ModemLines
from usbshare.line.usbip.device import UsbipDevice
from usbshare.line.usbip.source import parse_source
from usbshare.usbip.client import connect
from usbshare.usbip.errors import STALLED, TransferError
from usbshare.usbip.messages import Direction, IsoPacket


class Listener:
    def __init__(self) -> None:
        self.data = b""
        self.lost: list[str] = []

    def data_received(self, data: bytes) -> None:
        self.data += data

    def writable(self) -> None: ...

    def lines_changed(self, lines: ModemLines) -> None: ...

    def device_lost(self, reason: str) -> None:
        self.lost.append(reason)


class Theirs:
    """A serial port on their server: what it was told, and it answers each line."""

    def __init__(self, port: int, serial: str = "A1") -> None:
        self.received = bytearray()
        self.opened = threading.Event()
        self.codings: list[LineCoding] = []
        self.device = USBDevice(0x1209, 0x0001, product="Their port", serial=serial)
        self.port = self.device.add(
            CDCACM(
                on_rx=self._received,
                on_open=lambda *_: self.opened.set(),
                on_line_coding=lambda _, coding: self.codings.append(coding),
            )
        )
        self.transport = usbip.USBIP("127.0.0.1", port)

    def _received(self, port: object, data: bytes) -> None:
        del port
        self.received += data
        if data.endswith(b"\n"):
            self.port.write(b"ok\r\n")


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def theirs(free_port: int) -> Iterator[Theirs]:
    made = Theirs(free_port)
    with made.device.plug(via=made.transport):
        yield made


def source_of(port: int, device: str) -> UsbipDevice:
    source = parse_source(f"usbip://127.0.0.1:{port}/{device}")
    return UsbipDevice(source, LineSettings(250000))


async def test_our_source_uses_their_device(theirs: Theirs, free_port: int) -> None:
    device, listener = source_of(free_port, "1209:0001:A1"), Listener()
    await device.open(listener)
    assert theirs.opened.is_set()
    assert theirs.codings[-1].baud == 250000
    lines = [b"G1 X%d\n" % number for number in range(100)]
    for each in lines:
        while not device.write(each):
            assert await device.drain(5) is Completion.OK
    await until(lambda: listener.data == b"ok\r\n" * len(lines))
    assert bytes(theirs.received) == b"".join(lines)
    device.write(b"unfinished")
    device.discard_output()
    device.write(b"\x18")
    await until(lambda: theirs.received.endswith(b"\x18"))
    await device.close()
    assert listener.lost == []


async def test_devices_of_the_counterpart_are_listed(theirs: Theirs, free_port: int) -> None:
    twin = Theirs(free_port, "A1")
    with twin.device.plug(via=twin.transport):
        listed = await (await connect("127.0.0.1", free_port)).devices()
        assert [each.busid for each in listed] == ["1-1", "1-2"]
        assert [(each.vid, each.pid) for each in listed] == [(0x1209, 1)] * 2
        assert [c.class_ for each in listed for c in each.interfaces] == [2, 10, 2, 10]
    del theirs


class Isochronous(Interface):  # type: ignore[misc]
    """A stream of packets each way."""

    bInterfaceClass, bInterfaceSubClass, bInterfaceProtocol = 0xFF, 0, 0  # noqa: N815
    stream_in = In(0x81, "iso", mps=192, interval=1)
    stream_out = Out(0x02, "iso", mps=192, interval=1)

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[bytes] = []

    def on_iso(self, ep: object, given: list[object]) -> list[bytes]:
        """Send short packets, or take what came."""
        if given and isinstance(given[0], bytes):
            self.heard += [each for each in given if isinstance(each, bytes)]
            return []
        del ep
        return [bytes((number,)) * (10 + number) for number in range(len(given))]


async def test_isochronous_packets_are_understood_by_both(free_port: int) -> None:
    interface = Isochronous()
    made = USBDevice(0x1209, 0x0002)
    made.add(interface)
    with made.plug(via=usbip.USBIP("127.0.0.1", free_port)):
        device = await (await connect("127.0.0.1", free_port)).attach("1-1")
        packets = tuple(IsoPacket(192 * number, 192) for number in range(8))
        reply = await device.transfer(1, Direction.IN, 8 * 192, packets=packets)
        assert [each.actual_length for each in reply.packets] == list(range(10, 18))
        assert reply.data == b"".join(bytes((n,)) * (10 + n) for n in range(8))
        short = (IsoPacket(0, 3), IsoPacket(3, 4))
        reply = await device.transfer(2, Direction.OUT, 7, data=b"onetwoo", packets=short)
        assert reply.status == 0
        assert [each.actual_length for each in reply.packets] == [3, 4]
        assert interface.heard == [b"one", b"twoo"]
        with pytest.raises(TransferError) as told:
            await device.read(9, 8)
        assert told.value.status != STALLED  # theirs says ENODEV
        await device.close()


def their_client(port: int, busid: str) -> usbip.Handle:
    return usbip.open(busid=busid, transport=usbip.USBIP("127.0.0.1", port))


async def test_the_counterparts_client_uses_our_device() -> None:
    fake = FakeAcmDevice(acm_model("A1"), "1-1.3")
    fake.echoes = True
    async with usbip_server(fake) as server:

        def use() -> tuple[bytes, bytes, list[str]]:
            listed = usbip.host.list_devices(usbip.USBIP("127.0.0.1", server.port))
            with their_client(server.port, "1-1.3") as handle:
                handle.bulk_out(0x04, b"hello")
                heard = handle.bulk_in(0x83, 64)
                coding = handle.control(0xA1, 0x21, 0, 0, 7)
                with pytest.raises(usbip.Stall):
                    handle.control(0xC0, 0x51, 0, 0, 2)
                return heard, coding, [each["busid"] for each in listed]

        heard, coding, busids = await asyncio.to_thread(use)
        assert (heard, busids) == (b"hello", ["1-1.3"])
        assert coding == fake.coding.encode()
        await until(lambda: not server.attached)
        assert server.errors == []


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # it leaves its socket open
)
async def test_the_counterparts_client_is_told_why_it_gets_no_device() -> None:
    fake = FakeAcmDevice(acm_model())
    async with usbip_server(fake) as server:
        server.failing.add("1-1")
        with pytest.raises(usbip.USBError):
            await asyncio.to_thread(their_client, server.port, "1-1")
