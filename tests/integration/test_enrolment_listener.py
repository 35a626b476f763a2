"""The enrolment listener shares its port with the services of its host, and costs them nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.enrolment import enroller_of, invited, make_site, utc_now
from fakes.waiting import until
from usbshare.enrolment.api import listener as api_listener
from usbshare.enrolment.api.listener import EnrolmentListener
from usbshare.rpc import server
from usbshare.trust.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


class Made:
    """Counts the servers that are made, and the looks for a free port."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.servers = 0
        self.tries = 0
        self._server, self._free = grpc.aio.server, server.free_places
        patch.setattr(grpc.aio, "server", self._make)
        patch.setattr(api_listener, "free_places", self._look)

    def _make(self, *arguments: Any, **options: Any) -> grpc.aio.Server:
        self.servers += 1
        return self._server(*arguments, **options)

    def _look(self, *arguments: Any) -> list[str]:
        self.tries += 1
        return self._free(*arguments)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setattr(api_listener, "POLL_S", 0.01)
    return Made(monkeypatch)


@pytest.fixture
async def taken() -> AsyncIterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


async def run(site: Site, listen: str, looks: int) -> EnrolmentListener:
    """Let it look that often, one after the other."""
    found = EnrolmentListener(site, listen, enroller_of(site), utc_now)
    for _ in range(looks):
        await found._look()
    return found


async def test_no_server_is_made_while_another_has_the_port(
    site: Site, made: Made, taken: socket.socket
) -> None:
    port = int(taken.getsockname()[1])
    invited(site, port=port)
    await run(site, f"127.0.0.1:{port}", 50)
    assert made.servers == 0
    assert made.tries >= 1


async def test_a_waiting_listener_looks_less_and_less_often(
    site: Site, made: Made, taken: socket.socket
) -> None:
    port = int(taken.getsockname()[1])
    invited(site, port=port)
    waiting = EnrolmentListener(site, f"127.0.0.1:{port}", enroller_of(site), utc_now)
    pauses = []
    for _ in range(12):
        await waiting._try_to_open()
        pauses.append(waiting._pause_s)
    assert pauses == sorted(pauses)
    assert pauses[-1] == api_listener.LONGEST_PAUSE_S
    assert made.servers == 0


async def test_a_waiting_listener_takes_over_once_the_port_is_free(
    site: Site, made: Made, taken: socket.socket
) -> None:
    port = int(taken.getsockname()[1])
    invited(site, port=port)
    waiting = EnrolmentListener(site, f"127.0.0.1:{port}", enroller_of(site), utc_now)
    task = asyncio.create_task(waiting.run(), name="listener")
    try:
        await until(lambda: made.tries >= 2)
        taken.close()
        await until(lambda: waiting.port == port)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_names_are_resolved_in_a_thread(
    site: Site, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def guarded(*arguments: Any, **options: Any) -> Any:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return resolve(*arguments, **options)

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    monkeypatch.setattr(socket, "getaddrinfo", guarded)
    invited(site, port=port)
    opened = await run(site, f"localhost:{port}", 1)
    try:
        assert opened.port == port
        assert made.servers == 1
    finally:
        await opened._close(0)


class SwallowingServer:
    """A server whose stop ends, as if done, when it is cancelled."""

    def __init__(self) -> None:
        self.is_stopping = asyncio.Event()

    async def stop(self, grace_s: float) -> None:
        self.is_stopping.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def test_a_listener_ends_even_if_the_server_swallows_the_cancellation(
    site: Site,
) -> None:
    made = EnrolmentListener(site, "127.0.0.1:1", enroller_of(site), utc_now)
    server: Any = SwallowingServer()
    made._server = server
    task = asyncio.create_task(made.run(), name="listener")
    await server.is_stopping.wait()
    task.cancel()
    await until(task.done)
