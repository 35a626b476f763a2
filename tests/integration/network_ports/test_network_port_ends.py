"""Network ports and programs that leave, do not read, or are hung up."""

from __future__ import annotations

import asyncio
import contextlib

from fakes.network_port import LARGE, SETTINGS, Listener, address, connect, hang_up, program
from fakes.waiting import until
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress
from usbshare.bridge.local_ports.tcp import TcpPort
from usbshare.bridge.local_ports.telnet import escape


async def test_unread_bytes_are_discarded(port: TcpPort, listener: Listener) -> None:
    assert port.write(LARGE) == len(LARGE)
    pair = await program(port, listener)
    port.write(b"only this\n")
    async with asyncio.timeout(30):
        assert (await pair[0].readuntil(b"\n")).endswith(b"only this\n")
        await hang_up(pair)
    await until(lambda: listener.events[-1] == "closed")
    assert port.write(LARGE) == len(LARGE)


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


async def test_bytes_unread_while_paused_are_void_after_a_hang_up(
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
