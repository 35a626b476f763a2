"""A network between a real client and a real server that delays, splits, drops and kills.

Everything that is random follows from the seed. `Network` lives in the loop that started it;
its controls may be called from any thread, see `running_network` for tests that block.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

READ_BYTES = 65536
MOST_WAITING_READS = 64
CONTROL_TIMEOUT_S = 30.0
_THROTTLED_PIECE_S = 0.01
_MADE_UP_S = 0.1
_END = b""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Way:
    """One direction; change everything but `passed_bytes` and `is_open` at any moment.

    `jitter_s` is the most that comes on top of the delay; as with TCP nothing overtakes.
    `most_waiting_bytes` is the most that a connection has had on its way.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    largest_piece: int | None = None
    passed_bytes: int = 0
    most_waiting_bytes: int = 0
    is_open: asyncio.Event = field(default_factory=asyncio.Event)

    def clear(self) -> None:
        """Be perfect again."""
        self.delay_s = self.jitter_s = 0.0
        self.bytes_per_s = self.largest_piece = None
        self.is_open.set()


class Network:
    """Listens at `target` and passes each connection on to the server; `up` is towards it."""

    def __init__(self, server: str, *, seed: int = 0) -> None:
        self.up, self.down = Way(), Way()
        self.accepted = 0
        self._server = _address(server)
        self._seed = seed
        self._port = 0
        self._listener: socket.socket | None = None
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def target(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self._port}"

    @property
    def living(self) -> int:
        """How many connections there are, half-open ones too."""
        return len(self._connections)

    async def start(self) -> None:
        """Listen, and be perfect until a test says otherwise."""
        self._loop = asyncio.get_running_loop()
        self.heal()

    async def close(self) -> None:
        """Cut everything and listen no more."""
        self.refuse()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, *, rst: bool = False) -> int:
        """End every living connection on both sides; returns how many."""
        return self._in_loop(lambda: self._cut(rst=rst))

    def black_hole(self, *, up: bool = True, down: bool = True) -> None:
        """Pass on nothing more, not even ends; connections stay open and new ones get no answer."""

        def swallow() -> None:
            for way, is_meant in ((self.up, up), (self.down, down)):
                if is_meant:
                    way.is_open.clear()

        self._in_loop(swallow)

    def abandon(self) -> int:
        """Leave the existing connections half-open permanently, new ones pass; return how many."""

        def leave() -> int:
            left = [connection for connection in self._connections if connection.abandon()]
            return len(left)

        return self._in_loop(leave)

    def refuse(self) -> None:
        """Refuse new connections; living ones stay."""
        self._in_loop(self._stop_listening)

    def heal(self) -> None:
        """Accept and pass on everything at once; what a black hole holds is passed on now."""
        self._in_loop(self._heal)

    def _in_loop(self, work: Callable[[], T]) -> T:
        """Run the work in the network's own thread, whichever thread this is."""
        loop = self._loop
        if loop is None:
            raise RuntimeError("the network has not been started")
        with suppress(RuntimeError):
            if asyncio.get_running_loop() is loop:
                return work()

        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), loop).result(CONTROL_TIMEOUT_S)

    def _cut(self, *, rst: bool) -> int:
        living = list(self._connections)
        for connection in living:
            connection.end(rst=rst)
        return len(living)

    def _heal(self) -> None:
        self.up.clear()
        self.down.clear()
        if self._listener is None:
            self._listen()

    def _listen(self) -> None:
        assert self._loop is not None
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=64)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        self._loop.add_reader(self._listener, self._accept)

    def _stop_listening(self) -> None:
        assert self._loop is not None
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        assert self._listener is not None
        with suppress(BlockingIOError):
            client, _ = self._listener.accept()
            self.accepted += 1
            chance = random.Random(f"{self._seed}/{self.accepted}")
            connection = _Connection(self, client, chance)
            self._connections.add(connection)
            self._spawn(connection.run(self._server), f"connection {self.accepted}")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, connection: _Connection) -> None:
        """Note that a connection is over."""
        self._connections.discard(connection)


class _Connection:
    """One client's way to the server and back."""

    def __init__(self, network: Network, client: socket.socket, chance: random.Random) -> None:
        self._network = network
        self._sockets = [client]
        self._chance = chance
        self._ended = asyncio.Event()
        self._is_abandoned = False

    async def run(self, server: tuple[str, int]) -> None:
        """Pass on until both directions have ended, or `end`."""
        end = asyncio.create_task(self._ended.wait(), name="network end")
        work = asyncio.create_task(self._pass_on(server), name="network connection")
        try:
            await asyncio.wait((end, work), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (end, work):
                task.cancel()
            await asyncio.gather(end, work, return_exceptions=True)
            for each in self._sockets:
                each.close()
            self._network.forget(self)

    def end(self, *, rst: bool) -> None:
        """Close both sides now."""
        if rst:
            for each in self._sockets:
                _reset_on_close(each)
        self._ended.set()

    def abandon(self) -> bool:
        """Pass on nothing more, permanently; True the first time."""
        was, self._is_abandoned = self._is_abandoned, True
        return not was

    async def wait_until_open(self, way: Way) -> None:
        """Return when bytes may pass."""
        await way.is_open.wait()
        if self._is_abandoned:
            await asyncio.Event().wait()

    async def _pass_on(self, server: tuple[str, int]) -> None:
        client, network = self._sockets[0], self._network
        client.setblocking(False)
        await self.wait_until_open(network.up)
        # The kernel has answered the client's SYN for us at once; a real one takes a round trip.
        await asyncio.sleep(network.up.delay_s + network.down.delay_s)
        far = socket.socket()
        self._sockets.append(far)
        far.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(far, server)
        except OSError:
            _reset_on_close(client)
            return
        for each in self._sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = _Flow(self, network.up, client, far, self._chance)
        down = _Flow(self, network.down, far, client, self._chance)
        await asyncio.gather(up.run(), down.run())


class _Flow:
    """The bytes of one direction of one connection."""

    def __init__(
        self,
        connection: _Connection,
        way: Way,
        source: socket.socket,
        sink: socket.socket,
        chance: random.Random,
    ) -> None:
        self._connection = connection
        self._way = way
        self._source, self._sink = source, sink
        self._chance = random.Random(chance.random())
        # Bytes, their end, or None for a reset, each with the moment at which it arrives.
        self._waiting: asyncio.Queue[tuple[float, bytes | None]]
        self._waiting = asyncio.Queue(MOST_WAITING_READS)
        self._free_at = self._last_due = 0.0
        self._waiting_bytes = 0

    async def run(self) -> None:
        """Pass everything on up to the end; a reset ends the connection."""
        reading = asyncio.create_task(self._read(), name="network read")
        try:
            await self._write()
        except OSError:
            self._connection.end(rst=True)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        loop, data = asyncio.get_running_loop(), None
        while data != _END:
            try:
                data = await loop.sock_recv(self._source, READ_BYTES)
            except OSError:
                await self._waiting.put((self._due(), None))
                return
            self._waiting_bytes += len(data)
            way = self._way
            way.most_waiting_bytes = max(way.most_waiting_bytes, self._waiting_bytes)
            await self._waiting.put((self._due(), data))

    def _due(self) -> float:
        way, now = self._way, asyncio.get_running_loop().time()
        delay_s = way.delay_s + self._chance.random() * way.jitter_s
        self._last_due = max(self._last_due, now + delay_s)
        return self._last_due

    async def _write(self) -> None:
        while True:
            due, data = await self._waiting.get()
            await _sleep_until(due)
            await self._connection.wait_until_open(self._way)
            if data is None:
                self._connection.end(rst=True)
                return
            if data == _END:
                self._sink.shutdown(socket.SHUT_WR)
                return
            await self._write_in_pieces(data)

    async def _write_in_pieces(self, data: bytes) -> None:
        loop, way, start = asyncio.get_running_loop(), self._way, 0
        while start < len(data):
            piece = data[start : start + self._piece_bytes(len(data) - start)]
            await self._connection.wait_until_open(way)
            await loop.sock_sendall(self._sink, piece)
            start += len(piece)
            way.passed_bytes += len(piece)
            self._waiting_bytes -= len(piece)
            if way.bytes_per_s:
                # What a late wake-up cost is made up for: the rate is the network's.
                now = loop.time()
                is_idle = now - self._free_at > _MADE_UP_S
                self._free_at = (now if is_idle else self._free_at) + len(piece) / way.bytes_per_s
                await _sleep_until(self._free_at)

    def _piece_bytes(self, left: int) -> int:
        most = left
        if self._way.bytes_per_s:
            most = min(most, max(1, int(self._way.bytes_per_s * _THROTTLED_PIECE_S)))
        if self._way.largest_piece:
            most = min(most, self._chance.randint(1, self._way.largest_piece))
        return most


@contextmanager
def running_network(server: str, *, seed: int = 0) -> Iterator[Network]:
    """Run a network in a separate thread, for a test that blocks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="network", daemon=True)
    thread.start()
    network = Network(server, seed=seed)

    def do(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(CONTROL_TIMEOUT_S)

    try:
        do(network.start())
        yield network
    finally:
        do(network.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CONTROL_TIMEOUT_S)
        loop.close()


async def _sleep_until(moment: float) -> None:
    wait_s = moment - asyncio.get_running_loop().time()
    if wait_s > 0:
        await asyncio.sleep(wait_s)


def _reset_on_close(each: socket.socket) -> None:
    with suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


def _address(target: str) -> tuple[str, int]:
    host, _, port = target.rpartition(":")
    return host, int(port)
