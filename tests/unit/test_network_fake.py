"""The faults that other tests rely on are the faults that they asked for."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator

import pytest

from fakes.network import Network, running_network
from fakes.waiting import until

DEADLINE_S = 30.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that sends back what it gets and remembers how its clients left."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.pieces: list[int] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while data := await reader.read(65536):
                self.pieces.append(len(data))
                writer.write(data)
            self.ends.append("end")
        except ConnectionResetError:
            self.ends.append("reset")
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, str]]:
    made = Echo()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    yield made, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in made.writers:
        writer.transport.abort()


@pytest.fixture
async def network(echo: tuple[Echo, str]) -> AsyncIterator[Network]:
    made = Network(echo[1], seed=7)
    await made.start()
    yield made
    await made.close()


async def connect(network: Network) -> Streams:
    host, _, port = network.target.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def echoed(streams: Streams, data: bytes) -> bytes:
    streams[1].write(data)
    return await asyncio.wait_for(streams[0].readexactly(len(data)), DEADLINE_S)


async def hang_up(streams: Streams) -> None:
    streams[1].transport.abort()
    await asyncio.sleep(0)


async def test_a_healthy_network_passes_everything_and_its_end(
    network: Network, echo: tuple[Echo, str]
) -> None:
    streams = await connect(network)
    data = bytes(range(256)) * 2000
    assert await echoed(streams, data) == data
    assert (network.up.passed_bytes, network.down.passed_bytes) == (len(data), len(data))
    streams[1].write_eof()
    assert await asyncio.wait_for(streams[0].read(), DEADLINE_S) == b""
    await until(lambda: echo[0].ends == ["end"] and not network.living)
    streams[1].close()


async def test_a_delay_delays_each_way(network: Network) -> None:
    streams = await connect(network)
    network.up.delay_s = network.down.delay_s = 0.05
    start = time.monotonic()
    assert await echoed(streams, b"x") == b"x"
    assert time.monotonic() - start >= 0.1
    await hang_up(streams)


async def test_a_throttle_lets_no_more_pass_than_its_rate(network: Network) -> None:
    streams = await connect(network)
    network.up.bytes_per_s = 20_000
    start = time.monotonic()
    assert await echoed(streams, b"x" * 4000) == b"x" * 4000
    assert time.monotonic() - start >= 4000 / 20_000 - 0.02
    await hang_up(streams)


async def test_bytes_are_split_and_stay_whole(network: Network, echo: tuple[Echo, str]) -> None:
    streams = await connect(network)
    network.up.largest_piece = 3
    network.up.bytes_per_s = 1_000  # else the kernel joins the pieces again
    data = bytes(range(200))
    assert await echoed(streams, data) == data
    assert len(echo[0].pieces) > 1
    await hang_up(streams)


async def test_a_black_hole_keeps_connections_open_and_swallows_ends(
    network: Network, echo: tuple[Echo, str]
) -> None:
    streams, other = await connect(network), await connect(network)
    await echoed(streams, b"before")
    await echoed(other, b"before")
    network.black_hole()
    streams[1].write(b"lost?")
    other[1].close()
    late = await connect(network)
    late[1].write(b"hello?")
    await asyncio.sleep(0.05)
    assert sum(echo[0].pieces) == 12
    assert echo[0].ends == []
    assert not streams[0].at_eof()
    network.heal()
    assert await asyncio.wait_for(streams[0].readexactly(5), DEADLINE_S) == b"lost?"
    assert await asyncio.wait_for(late[0].readexactly(6), DEADLINE_S) == b"hello?"
    await until(lambda: echo[0].ends == ["end"])
    for each in (streams, late):
        await hang_up(each)


async def test_one_direction_alone_can_be_a_black_hole(
    network: Network, echo: tuple[Echo, str]
) -> None:
    streams = await connect(network)
    network.black_hole(up=False)
    streams[1].write(b"heard")
    await until(lambda: sum(echo[0].pieces) == 5)
    assert network.down.passed_bytes == 0
    await hang_up(streams)


async def test_abandoned_connections_stay_half_open_while_new_ones_work(
    network: Network, echo: tuple[Echo, str]
) -> None:
    gone = await connect(network)
    await echoed(gone, b"1")
    assert network.abandon() == 1
    await hang_up(gone)
    streams = await connect(network)
    assert await echoed(streams, b"2") == b"2"
    assert echo[0].ends == []
    assert network.living == 2
    await hang_up(streams)


@pytest.mark.parametrize(("rst", "how"), [(False, "end"), (True, "reset")])
async def test_a_cut_ends_all_connections_on_both_sides(
    network: Network, echo: tuple[Echo, str], *, rst: bool, how: str
) -> None:
    connections = [await connect(network) for _ in range(3)]
    for streams in connections:
        await echoed(streams, b"x")
    assert network.cut(rst=rst) == 3
    for streams in connections:
        try:
            assert await asyncio.wait_for(streams[0].read(), DEADLINE_S) == b""
            assert not rst
        except ConnectionResetError:
            assert rst
        streams[1].close()
    await until(lambda: echo[0].ends == [how] * 3)
    again = await connect(network)
    assert await echoed(again, b"y") == b"y"
    await hang_up(again)


async def test_a_reset_of_the_client_is_passed_on(network: Network, echo: tuple[Echo, str]) -> None:
    streams = await connect(network)
    await echoed(streams, b"x")
    linger = b"\x01\0\0\0\0\0\0\0"
    streams[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    streams[1].transport.abort()
    await until(lambda: echo[0].ends == ["reset"])


async def test_new_connections_are_refused_until_it_heals(network: Network) -> None:
    living = await connect(network)
    await echoed(living, b"x")
    network.refuse()
    with pytest.raises(ConnectionRefusedError):
        await connect(network)
    assert await echoed(living, b"y") == b"y"
    network.heal()
    streams = await connect(network)
    assert await echoed(streams, b"z") == b"z"
    for each in (living, streams):
        await hang_up(each)


async def test_a_server_that_is_not_there_resets_the_client() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nowhere = f"127.0.0.1:{probe.getsockname()[1]}"
    network = Network(nowhere)
    await network.start()
    streams = await connect(network)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(streams[0].read(), DEADLINE_S)
    streams[1].close()
    await network.close()


def test_a_network_in_a_thread_is_controlled_from_outside() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_echo_twice, args=(server,), daemon=True)
        thread.start()
        with running_network(f"127.0.0.1:{server.getsockname()[1]}") as network:
            host, _, port = network.target.rpartition(":")
            with socket.create_connection((host, int(port)), DEADLINE_S) as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
                assert network.cut() == 1
                assert client.recv(1) == b""
            with socket.create_connection((host, int(port)), DEADLINE_S) as client:
                client.sendall(b"y")
                assert client.recv(1) == b"y"
        thread.join(DEADLINE_S)


def _echo_twice(server: socket.socket) -> None:
    for _ in range(2):
        with server.accept()[0] as client:
            while data := client.recv(4096):
                client.sendall(data)
