"""The virtual ports over TCP and RFC 2217 as programs see them: real sockets, any split."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import serial
import serial.rfc2217
from hypothesis import given
from hypothesis import strategies as st

from fakes.waiting import until
from usbshare.base.errors import ConfigError
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress, loopback_address
from usbshare.bridge.local_ports.program_connection import WRITE_BYTES
from usbshare.bridge.local_ports.rfc2217 import Rfc2217Port
from usbshare.bridge.local_ports.rfc2217_line import Rfc2217Line
from usbshare.bridge.local_ports.tcp import TcpPort
from usbshare.bridge.local_ports.telnet import (
    LARGEST_COMMAND_BYTES,
    Command,
    TelnetError,
    escape,
    take_item,
)
from usbshare.line.settings import FlowControl, LineEvents, LineSettings, ModemLines, Parity

SETTINGS = LineSettings()
FREE = LoopbackAddress("127.0.0.1", 0)
LARGE = bytes(range(256)) * 4096

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Listener:
    """Remembers what it is told; `port` is limited after each write when `room` says how."""

    def __init__(self) -> None:
        self.port: TcpPort
        self.written: list[bytes] = []
        self.events: list[str] = []
        self.settings: list[LineSettings] = []
        self.flushes: list[tuple[bool, bool]] = []
        self.lines: list[tuple[bool | None, bool | None]] = []
        self.room: list[int] = []
        self.breaks: list[bool] = []
        self.carries_breaks = True
        self.room_calls = 0

    @property
    def data(self) -> bytes:
        return b"".join(self.written)

    def program_wrote(self, data: bytes) -> None:
        assert data
        self.written.append(data)
        self.events.append("wrote")
        if self.room:
            self.port.limit_reading(self.room.pop(0))

    def program_opened(self) -> None:
        self.events.append("opened")

    def program_closed(self) -> None:
        self.events.append("closed")

    def program_configured(self, settings: LineSettings) -> None:
        self.settings.append(settings)
        self.events.append("configured")

    def program_set_lines(self, *, dtr: bool | None, rts: bool | None) -> None:
        self.lines.append((dtr, rts))

    def program_set_break(self, *, on: bool, answered: Callable[[bool], None]) -> None:
        self.breaks.append(on)
        answered(self.carries_breaks)

    def program_flushed(self, *, received: bool, written: bool) -> None:
        self.flushes.append((received, written))

    def port_writable(self) -> None:
        self.room_calls += 1

    def port_renamed(self, said: str) -> None:
        raise AssertionError(said)

    def port_lost(self, reason: str) -> None:
        raise AssertionError(reason)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture(params=[TcpPort, Rfc2217Port])
async def port(request: pytest.FixtureRequest, listener: Listener) -> AsyncIterator[TcpPort]:
    made: TcpPort = request.param(FREE)
    listener.port = made
    await made.start(listener, SETTINGS)
    yield made
    await made.close()


@pytest.fixture
async def tcp(listener: Listener) -> AsyncIterator[TcpPort]:
    made = TcpPort(FREE)
    listener.port = made
    await made.start(listener, SETTINGS)
    yield made
    await made.close()


@pytest.fixture
async def telnet(listener: Listener) -> AsyncIterator[Rfc2217Port]:
    made = Rfc2217Port(FREE)
    listener.port = made
    await made.start(listener, SETTINGS)
    yield made
    await made.close()


def address(port: TcpPort) -> tuple[str, int]:
    host, _, number = port.path.partition("://")[2].rpartition(":")
    return host, int(number)


async def connect(port: TcpPort) -> Pair:
    return await asyncio.open_connection(*address(port))


async def program(port: TcpPort, listener: Listener) -> Pair:
    """Connect and wait until the port knows."""
    before = listener.events.count("opened")
    pair = await connect(port)
    await until(lambda: listener.events.count("opened") > before)
    return pair


async def hang_up(pair: Pair) -> None:
    pair[1].close()
    await pair[1].wait_closed()


def subnegotiation(code: int, value: bytes) -> bytes:
    return b"\xff\xfa\x2c" + bytes([code]) + escape(value) + b"\xff\xf0"


# What both kinds keep of the contract.


async def test_the_path_shows_the_real_port(port: TcpPort) -> None:
    assert port.path.startswith((f"{port.scheme}://127.0.0.1:",))
    assert address(port)[1] != 0


async def test_bytes_pass_both_ways(port: TcpPort, listener: Listener) -> None:
    reader, writer = pair = await program(port, listener)
    writer.write(b"$I\n")
    await until(lambda: listener.data == b"$I\n")
    assert port.write(b"ok\r\n") == 4
    async with asyncio.timeout(30):
        assert (await reader.readuntil(b"ok\r\n")).endswith(b"ok\r\n")
    await hang_up(pair)


async def test_what_is_not_read_is_discarded(port: TcpPort, listener: Listener) -> None:
    assert port.write(LARGE) == len(LARGE)
    pair = await program(port, listener)
    port.write(b"only this\n")
    async with asyncio.timeout(30):
        assert (await pair[0].readuntil(b"\n")).endswith(b"only this\n")
        await hang_up(pair)
    await until(lambda: listener.events[-1] == "closed")
    assert port.write(LARGE) == len(LARGE)


async def test_programs_come_one_after_another(port: TcpPort, listener: Listener) -> None:
    for number in range(3):
        pair = await connect(port)  # maybe before the end of the one before is seen
        pair[1].write(b"%d" % number)
        await hang_up(pair)
    await until(lambda: listener.events.count("closed") == 3)
    assert listener.data == b"012"
    assert listener.events == ["opened", "wrote", "closed"] * 3


async def test_a_second_program_is_refused_and_the_first_stays(
    port: TcpPort, listener: Listener
) -> None:
    first = await program(port, listener)
    second = await connect(port)
    async with asyncio.timeout(30):
        assert await second[0].read() == b""
    first[1].write(b"still here")
    await until(lambda: listener.data == b"still here")
    assert listener.events == ["opened", "wrote"]
    await hang_up(second)
    await hang_up(first)


async def test_no_write_is_larger_than_the_limit(port: TcpPort, listener: Listener) -> None:
    port.limit_reading(7)
    pair = await program(port, listener)
    pair[1].write(escape(LARGE[:1000]) if port.scheme == "rfc2217" else LARGE[:1000])
    await until(lambda: listener.data == LARGE[:1000])
    assert max(len(data) for data in listener.written) <= 7
    await hang_up(pair)


async def test_a_limit_that_shrinks_while_bytes_are_passed_is_kept(
    port: TcpPort, listener: Listener
) -> None:
    port.limit_reading(10)
    listener.room = [3, 2, 0]
    pair = await program(port, listener)
    pair[1].write(b"0123456789abcdefghijkl")
    await until(lambda: not listener.room)
    assert [len(data) for data in listener.written] == [10, 3, 2]
    port.limit_reading(4)
    await until(lambda: listener.data == b"0123456789abcdefghijkl")
    assert max(len(data) for data in listener.written[3:]) <= 4
    await hang_up(pair)


async def test_a_program_waits_while_reading_is_paused(port: TcpPort, listener: Listener) -> None:
    port.limit_reading(0)
    pair = await program(port, listener)
    pair[1].write(bytes(8_000_000))
    for _ in range(20):
        await asyncio.sleep(0)
    assert listener.written == []
    assert pair[1].transport.get_write_buffer_size() > 0
    port.limit_reading(4096)
    async with asyncio.timeout(60):
        await pair[1].drain()
    await until(lambda: len(listener.data) == 8_000_000)
    await hang_up(pair)


async def test_a_program_that_left_while_paused_does_not_keep_the_next_one_out(
    port: TcpPort, listener: Listener
) -> None:
    port.limit_reading(0)
    first = await program(port, listener)
    first[1].write(b"never passed on")
    await hang_up(first)
    second = await program(port, listener)
    assert listener.events == ["opened", "closed", "opened"]
    port.limit_reading(100)
    second[1].write(b"passed on")
    await until(lambda: listener.data == b"passed on")
    await hang_up(second)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nG0 X9\n"],
        [b"P", b"OS", b"T /", b" HTTP/1.1\r\n\r\nG0 X9\n"],
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x18!~\n"],  # https: and wss:
        [b"\x16", b"\x03", b"\x01\x02\x00\x18"],
    ],
    ids=["a request", "a request in pieces", "HTTP/2", "TLS", "TLS in pieces"],
)
async def test_a_web_page_reaches_no_machine(
    port: TcpPort, listener: Listener, pieces: list[bytes]
) -> None:
    port.limit_reading(2)
    _, writer = await program(port, listener)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.02)  # so that each comes by itself
    await until(lambda: listener.events == ["opened", "closed"])
    assert listener.written == []
    writer.close()


@pytest.mark.parametrize("data", [b"G", b"PO", b"G1 X1\n", b"\x16", b"\x18", b"POSY\n"])
async def test_what_only_begins_like_a_request_passes(
    port: TcpPort, listener: Listener, data: bytes
) -> None:
    _, writer = await program(port, listener)
    writer.write(data)
    await until(lambda: listener.data == data)
    writer.close()


async def test_a_program_that_sends_no_more_gets_its_answers(
    tcp: TcpPort, listener: Listener
) -> None:
    reader, writer = await program(tcp, listener)
    writer.write(b"$I\n")
    writer.write_eof()
    await until(lambda: listener.data == b"$I\n")
    tcp.write(b"[VER:1.1h]\r\n")
    assert await reader.readline() == b"[VER:1.1h]\r\n"
    tcp.write(b"ok\r\n")
    assert await reader.read() == b"ok\r\n"
    await until(lambda: listener.events[-1] == "closed")
    writer.close()


async def test_a_program_that_waits_for_answers_makes_room_for_the_next(
    tcp: TcpPort, listener: Listener
) -> None:
    _, first = await program(tcp, listener)
    first.write(b"$H\n")
    first.write_eof()
    await until(lambda: listener.data == b"$H\n")
    _, second = await connect(tcp)
    second.write(b"?")
    await until(lambda: listener.data == b"$H\n?")
    assert listener.events[-4:] == ["wrote", "closed", "opened", "wrote"]
    for each in (first, second):
        each.close()


async def test_a_program_that_reads_slowly_gets_everything(
    port: TcpPort, listener: Listener
) -> None:
    reader, writer = pair = await program(port, listener)
    sent = 0
    while (taken := port.write(LARGE[sent % len(LARGE) :][:65536])) == 65536:
        sent += taken
    sent += taken
    assert port.write(b"x") == 0
    assert listener.room_calls == 0
    received = bytearray()
    expected = len(escape(_stream(sent))) if port.scheme == "rfc2217" else sent
    async with asyncio.timeout(60):
        greeting = await _greeting(port, reader)
        while len(received) < expected:
            received += await reader.read(1 << 20)
    assert listener.room_calls == 1
    assert port.write(b"x") == 1
    plain = received.replace(b"\xff\xff", b"\xff") if greeting else received
    assert bytes(plain) == _stream(sent)
    writer.close()
    await hang_up(pair)


def _stream(size: int) -> bytes:
    return (LARGE * (size // len(LARGE) + 1))[:size]


async def _greeting(port: TcpPort, reader: asyncio.StreamReader) -> bytes:
    """Read what an RFC 2217 server begins with: four offers of three bytes."""
    return await reader.readexactly(12) if port.scheme == "rfc2217" else b""


async def test_no_more_is_taken_than_the_buffer_holds(port: TcpPort, listener: Listener) -> None:
    pair = await program(port, listener)
    total = 0
    while taken := port.write(LARGE):
        total += taken
    assert port._program is not None
    transport = port._program._transport
    assert transport.get_write_buffer_size() <= 2 * WRITE_BYTES
    await hang_up(pair)


async def test_close_hangs_the_program_up_and_frees_the_port(
    port: TcpPort, listener: Listener
) -> None:
    reader, writer = await program(port, listener)
    await _greeting(port, reader)
    where = address(port)
    await port.close()
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()
    assert listener.events == ["opened"]
    again = TcpPort(LoopbackAddress(*where))
    await again.start(listener, SETTINGS)
    await again.close()


async def test_a_hung_up_program_reads_the_end_and_the_port_is_there_at_once(
    port: TcpPort, listener: Listener
) -> None:
    reader, writer = old = await program(port, listener)
    writer.write(b"before")
    await until(lambda: listener.data == b"before")
    port.hang_up()
    assert listener.events[-1] == "closed"
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
    for _ in range(3):  # a sender that does not look carries on
        writer.write(b"after")
    fresh = await program(port, listener)
    fresh[1].write(b"$$")
    await until(lambda: listener.data.endswith(b"$$"))
    assert listener.data == b"before$$"
    assert [e for e in listener.events if e != "wrote"] == ["opened", "closed", "opened"]
    with contextlib.suppress(OSError):
        await hang_up(old)
    await hang_up(fresh)


async def test_a_hang_up_without_a_program_reports_nothing(
    port: TcpPort, listener: Listener
) -> None:
    port.hang_up()
    assert listener.events == []
    await hang_up(await program(port, listener))


async def test_what_was_not_read_while_paused_is_void_after_a_hang_up(
    port: TcpPort, listener: Listener
) -> None:
    old = await program(port, listener)
    port.limit_reading(0)
    old[1].write(b"old" * 1000)
    await old[1].drain()
    port.hang_up()
    port.limit_reading(4096)
    fresh = await program(port, listener)
    fresh[1].write(b"new")
    await until(lambda: listener.data)
    assert listener.data == b"new"
    with contextlib.suppress(OSError):
        await hang_up(old)
    await hang_up(fresh)


async def test_a_taken_port_is_named(port: TcpPort, listener: Listener) -> None:
    host, number = address(port)
    with pytest.raises(ConfigError, match=f"{host}:{number}: another program listens there"):
        await TcpPort(LoopbackAddress(host, number)).start(listener, SETTINGS)


async def test_plain_tcp_passes_every_byte_as_it_is(listener: Listener) -> None:
    port = TcpPort(FREE)
    await port.start(listener, SETTINGS)
    pair = await program(port, listener)
    pair[1].write(LARGE)
    await until(lambda: len(listener.data) == len(LARGE))
    assert listener.data == LARGE
    assert port.write(b"\xff\x00\xff") == 3
    async with asyncio.timeout(30):
        assert await pair[0].readexactly(3) == b"\xff\x00\xff"
    await hang_up(pair)
    await port.close()


# Addresses.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:23", "127.0.0.1:23"),
        ("127.0.0.1", "127.0.0.1:77"),
        ("[::1]:2323", "[::1]:2323"),
        ("localhost:0", "127.0.0.1:0"),
    ],
)
def test_loopback_addresses_are_read(text: str, expected: str) -> None:
    assert str(loopback_address(text, 77)) == expected


@pytest.mark.parametrize("text", ["0.0.0.0:23", "[::]:23", "192.0.2.1:23"])
def test_other_addresses_are_refused_with_what_is_right(text: str) -> None:
    with pytest.raises(ConfigError, match=r"use 127\.0\.0\.1:23") as caught:
        loopback_address(text, 77)
    assert text in str(caught.value)


@pytest.mark.parametrize("text", ["", "127.0.0.1:http", "127.0.0.1:65536", "a b:1"])
def test_malformed_addresses_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"address|port"):
        loopback_address(text, 77)


# RFC 2217 over real sockets.


async def opened(port: Rfc2217Port, **settings: Any) -> serial.rfc2217.Serial:
    client = await asyncio.to_thread(serial.serial_for_url, port.path, timeout=30, **settings)
    return cast(serial.rfc2217.Serial, client)


async def test_pyserial_sets_everything_and_reads_lines(
    telnet: Rfc2217Port, listener: Listener
) -> None:
    telnet.show_lines(ModemLines(cts=True, dsr=False, ri=False, cd=False))
    client = await opened(telnet, baudrate=57600, parity="E", bytesize=7, stopbits=2, rtscts=True)
    wanted = LineSettings(57600, 7, Parity.EVEN, 2, FlowControl.RTS_CTS)
    assert listener.settings[-1] == wanted
    assert (True, False) in listener.flushes
    assert (client.cts, client.dsr, client.ri, client.cd) == (True, False, False, False)
    telnet.show_lines(ModemLines(cts=False, dsr=True, ri=True, cd=True))
    await until(lambda: (client.cts, client.dsr, client.ri, client.cd) == (False, True, True, True))
    await asyncio.to_thread(setattr, client, "dtr", False)
    await asyncio.to_thread(setattr, client, "rts", False)
    assert listener.lines[-2:] == [(False, None), (None, False)]
    await asyncio.to_thread(setattr, client, "baudrate", 9600)
    assert listener.settings[-1] == replace(wanted, baud=9600)
    await asyncio.to_thread(client.reset_output_buffer)
    assert listener.flushes[-1] == (False, True)
    await asyncio.to_thread(client.close)
    await until(lambda: listener.events[-1] == "closed")


async def test_pyserial_exchanges_every_byte(telnet: Rfc2217Port, listener: Listener) -> None:
    client = await opened(telnet)
    data = LARGE[:20_000]
    await asyncio.to_thread(client.write, data)
    await until(lambda: len(listener.data) == len(data))
    assert listener.data == data
    sent = 0
    while sent < len(data):
        sent += telnet.write(data[sent:])
        await asyncio.sleep(0)
    assert await asyncio.to_thread(client.read, len(data)) == data
    await asyncio.to_thread(client.close)


async def test_settings_that_change_nothing_or_are_impossible_are_not_passed_on(
    telnet: Rfc2217Port, listener: Listener
) -> None:
    client = await opened(telnet, baudrate=SETTINGS.baud)
    assert listener.settings == []
    with pytest.raises(ValueError, match="rejected"):
        await asyncio.to_thread(setattr, client, "baudrate", 20_000_000)
    assert listener.settings == []
    await asyncio.to_thread(client.close)


async def test_settings_keep_their_place_among_the_bytes(
    telnet: Rfc2217Port, listener: Listener
) -> None:
    telnet.limit_reading(4)
    listener.room = [0]
    pair = await program(telnet, listener)
    pair[1].write(b"G0X1" + b"G0X2" + subnegotiation(1, struct.pack("!I", 9600)) + b"G0X3")
    await until(lambda: listener.events == ["opened", "wrote"])
    telnet.limit_reading(100)
    await until(lambda: listener.data == b"G0X1G0X2G0X3")
    assert listener.events == ["opened", "wrote", "wrote", "configured", "wrote"]
    await hang_up(pair)


async def test_a_late_report_of_older_settings_undoes_nothing(listener: Listener) -> None:
    line = Rfc2217Line(listener, SETTINGS)
    line.baudrate = 57600
    line.parity = "E"
    line.shown = replace(SETTINGS, baud=57600)  # the first change took effect, the second not yet
    line.stopbits = 2
    assert listener.settings[-1] == LineSettings(57600, parity=Parity.EVEN, stop_bits=2)
    line.forget_program()
    assert line.settings == replace(SETTINGS, baud=57600)


@pytest.mark.parametrize(
    "request_",
    [
        b"\xff\xf0",
        b"\xff\xf1",
        b"\xff\xfd\x63",
        b"\xff\x41",
        b"\xff\xfa\xff\xf0",
        subnegotiation(1, b"\x01"),
        subnegotiation(2, b"\x63"),
        subnegotiation(3, b"\x63"),
        subnegotiation(4, b""),
        subnegotiation(11, b""),
        subnegotiation(0, b"name"),
    ],
    ids=lambda raw: raw.hex(),
)
async def test_a_strange_request_changes_nothing(
    telnet: Rfc2217Port, listener: Listener, request_: bytes
) -> None:
    reader, writer = pair = await program(telnet, listener)
    writer.write(b"a" + request_ + b"b" + subnegotiation(2, b"\x07") + b"c")
    await until(lambda: listener.data == b"abc")
    assert listener.settings == [replace(SETTINGS, data_bits=7)]
    async with asyncio.timeout(30):
        assert await reader.readuntil(subnegotiation(102, b"\x07"))
    await hang_up(pair)


@pytest.mark.parametrize("junk", [b"\xff\xfa\x2c\xff\xf1", b"\xff\xfa" + bytes(300)])
async def test_a_program_that_speaks_no_telnet_is_hung_up(
    telnet: Rfc2217Port, listener: Listener, junk: bytes
) -> None:
    reader, writer = await program(telnet, listener)
    writer.write(junk)
    await until(lambda: listener.events == ["opened", "closed"])
    async with asyncio.timeout(30):
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1000)
    writer.close()


async def test_a_program_that_asks_and_never_reads_is_hung_up(
    telnet: Rfc2217Port, listener: Listener
) -> None:
    with socket.socket() as program:
        program.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        program.connect(address(telnet))
        program.setblocking(False)
        loop = asyncio.get_running_loop()
        asking = asyncio.ensure_future(
            loop.sock_sendall(program, subnegotiation(7, b"") * 2_000_000)
        )
        await until(lambda: "closed" in listener.events)
        with pytest.raises(ConnectionError):
            await asking


# The pure part: any bytes, any split, any limit.


def pieces(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Split data at the sizes, again and again."""
    found: list[bytes] = []
    at = 0
    while at < len(data):
        size = sizes[len(found) % len(sizes)]
        found.append(data[at : at + size])
        at += size
    return found


COMMANDS = st.one_of(
    st.tuples(st.sampled_from([0xFB, 0xFC, 0xFD, 0xFE]), st.integers(0, 255)).map(
        lambda pair: b"\xff" + bytes(pair)
    ),
    st.tuples(st.integers(0, 20), st.binary(max_size=20)).map(lambda pair: subnegotiation(*pair)),
    st.just(b"\xff\xf1"),
)
DATA = st.lists(st.sampled_from([b"\xff", b"\xff\xff", b"\xf0", b"\xfa", b"G"])).map(b"".join)
SIZES = st.lists(st.integers(1, 9), min_size=1)


@given(st.lists(st.tuples(DATA, COMMANDS)), SIZES, st.integers(1, 5))
def test_bytes_and_commands_are_distinguished_at_any_split(
    stream: list[tuple[bytes, bytes]], sizes: list[int], most_bytes: int
) -> None:
    whole = b"".join(escape(data) + command for data, command in stream)
    unread, data, commands = bytearray(), bytearray(), []
    for piece in pieces(whole, sizes):
        unread += piece
        while (item := take_item(unread, most_bytes)) is not None:
            if isinstance(item, Command):
                commands.append((bytes(data), item.raw))
            else:
                assert 1 <= len(item) <= most_bytes
                data += item
    assert not unread
    place = b""
    expected = []
    for written, command in stream:
        place += written
        expected.append((place, command))
    assert commands == expected


@given(st.binary(), SIZES)
def test_no_junk_confuses_the_reader(junk: bytes, sizes: list[int]) -> None:
    unread = bytearray()
    try:
        for piece in pieces(junk, sizes):
            unread += piece
            while take_item(unread, 3) is not None:
                pass
            assert len(unread) <= LARGEST_COMMAND_BYTES
    except TelnetError:
        pass


def test_nothing_of_the_program_is_taken_at_a_limit_of_0() -> None:
    for data in (b"a", b"\xff\xff"):
        unread = bytearray(data)
        assert take_item(unread, 0) is None
        assert bytes(unread) == data
    assert take_item(bytearray(b"\xff\xf1a"), 0) == Command(b"\xff\xf1")


SET_CONTROL = 5
SET_LINESTATE_MASK, NOTIFY_LINESTATE = 10, 106
ASKED = [
    (4, 6),
    (5, 5),
    (6, 6),
    (7, 9),
    (10, 12),
    (13, 14),
    (14, 14),
    (15, 14),
    (16, 14),
    (17, 1),
    (18, 14),
    (19, 1),
]


@pytest.mark.parametrize(("asked", "answer"), ASKED)
async def test_each_control_request_is_answered_with_what_is_in_force(
    telnet: Rfc2217Port, listener: Listener, asked: int, answer: int
) -> None:
    pair = await program(telnet, listener)
    pair[1].write(subnegotiation(SET_CONTROL, bytes([asked])))
    async with asyncio.timeout(30):
        await pair[0].readuntil(subnegotiation(100 + SET_CONTROL, bytes([answer])))
    await hang_up(pair)


async def test_a_break_is_passed_on_and_confirmed(telnet: Rfc2217Port, listener: Listener) -> None:
    client = await opened(telnet)
    await asyncio.to_thread(client.send_break, 0.01)
    assert listener.breaks == [True, False]
    await asyncio.to_thread(client.close)


async def test_what_befalls_the_line_is_told_to_who_asks_for_it(
    telnet: Rfc2217Port, listener: Listener
) -> None:
    reader, writer = pair = await program(telnet, listener)
    telnet.show_events(LineEvents(overrun=True))  # nobody has asked for it yet: the mask is 0
    async with asyncio.timeout(30):
        writer.write(subnegotiation(SET_LINESTATE_MASK, b"\x12"))  # overruns and breaks
        before = await reader.readuntil(subnegotiation(100 + SET_LINESTATE_MASK, b"\x12"))
        assert subnegotiation(NOTIFY_LINESTATE, b"\x02") not in before
        telnet.show_events(LineEvents(framing_error=True))
        telnet.show_events(LineEvents(line_break=True, parity_error=True))
        told = await reader.readuntil(subnegotiation(NOTIFY_LINESTATE, b"\x10"))
        assert told.count(bytes([NOTIFY_LINESTATE])) == 1
        writer.write(subnegotiation(SET_LINESTATE_MASK, b"\xff"))
        await reader.readuntil(subnegotiation(100 + SET_LINESTATE_MASK, b"\xff"))
        everything = LineEvents(True, True, True, True)
        telnet.show_events(everything)
        await reader.readuntil(subnegotiation(NOTIFY_LINESTATE, b"\x1e"))
    await hang_up(pair)


async def test_the_next_program_is_told_nothing_that_it_did_not_ask_for(
    telnet: Rfc2217Port, listener: Listener
) -> None:
    for mask in (b"\x1e", b""):
        reader, writer = pair = await program(telnet, listener)
        if mask:
            writer.write(subnegotiation(SET_LINESTATE_MASK, mask))
            async with asyncio.timeout(30):
                await reader.readuntil(subnegotiation(100 + SET_LINESTATE_MASK, mask))
        telnet.show_events(LineEvents(line_break=True))
        writer.write(subnegotiation(SET_CONTROL, b"\x04"))
        async with asyncio.timeout(30):
            told = await reader.readuntil(subnegotiation(100 + SET_CONTROL, b"\x06"))
        assert (subnegotiation(NOTIFY_LINESTATE, b"\x10") in told) == bool(mask)
        await hang_up(pair)
        await until(lambda: listener.events[-1] == "closed")


async def test_a_break_that_is_not_done_is_refused(telnet: Rfc2217Port, listener: Listener) -> None:
    client = await opened(telnet)
    listener.carries_breaks = False
    with pytest.raises(ValueError, match="remote rejected value"):
        await asyncio.to_thread(client.send_break, 0.01)
    await asyncio.to_thread(client.close)
