"""The virtual port over RFC 2217: real clients, strange requests, any split."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.network_port import (
    LARGE,
    SET_CONTROL,
    SETTINGS,
    Listener,
    address,
    hang_up,
    opened,
    pieces,
    program,
    subnegotiation,
)
from fakes.waiting import until
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
from usbshare.line.settings import FlowControl, LineSettings, ModemLines, Parity


@pytest.mark.parametrize("data", [b"G", b"PO", b"G1 X1\n", b"\x16", b"\x18", b"POSY\n"])
async def test_bytes_that_only_begin_like_a_request_pass(
    port: TcpPort, listener: Listener, data: bytes
) -> None:
    _, writer = await program(port, listener)
    writer.write(data)
    await until(lambda: listener.data == data)
    writer.close()


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


async def test_a_break_that_is_not_done_is_refused(telnet: Rfc2217Port, listener: Listener) -> None:
    client = await opened(telnet)
    listener.carries_breaks = False
    with pytest.raises(ValueError, match="remote rejected value"):
        await asyncio.to_thread(client.send_break, 0.01)
    await asyncio.to_thread(client.close)
