"""The virtual ports over TCP and RFC 2217 as programs see them: real sockets, any split."""

from __future__ import annotations

import asyncio

import pytest

from fakes.network_port import (
    FREE,
    LARGE,
    SET_CONTROL,
    SETTINGS,
    Listener,
    address,
    connect,
    hang_up,
    program,
    subnegotiation,
)
from fakes.waiting import until
from usbshare.base.errors import ConfigError
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress, loopback_address
from usbshare.bridge.local_ports.program_connection import WRITE_BYTES
from usbshare.bridge.local_ports.rfc2217 import Rfc2217Port
from usbshare.bridge.local_ports.tcp import TcpPort
from usbshare.bridge.local_ports.telnet import escape
from usbshare.line.settings import LineEvents


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


async def test_no_more_is_taken_than_the_buffer_holds(port: TcpPort, listener: Listener) -> None:
    pair = await program(port, listener)
    total = 0
    while taken := port.write(LARGE):
        total += taken
    assert port._program is not None
    transport = port._program._transport
    assert transport.get_write_buffer_size() <= 2 * WRITE_BYTES
    await hang_up(pair)


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


SET_LINESTATE_MASK, NOTIFY_LINESTATE = 10, 106


async def test_line_events_are_sent_to_a_program_that_set_the_mask(
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
