"""Limits the connections of the panel's server, so that idle ones do not keep others out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web

# Pages, views, streams and files have limits of their own, which together are below this.
MOST_CONNECTIONS = 256
# Until the first request is complete.
FIRST_REQUEST_S = 10.0


class Connections:
    """Makes the protocols of connections; ends the oldest idle one where there are too many."""

    def __init__(
        self, most: int = MOST_CONNECTIONS, first_request_s: float = FIRST_REQUEST_S
    ) -> None:
        self._most = most
        self._first_request_s = first_request_s
        self._silent: set[web.RequestHandler] = set()
        self._served: set[web.RequestHandler] = set()

    def protocol(self, server: web.Server) -> web.RequestHandler:
        """Return the protocol of a new connection of aiohttp's server."""
        living = [each for each in server.connections if _lives(each)]
        if len(living) >= self._most:
            self._end_oldest(living)
        protocol = server()
        self._silent.add(protocol)
        asyncio.get_running_loop().call_later(self._first_request_s, self._end_silent, protocol)
        return protocol

    @contextmanager
    def serving(self, protocol: web.RequestHandler) -> Iterator[None]:
        """Keep a connection while a request of it is carried out."""
        self._silent.discard(protocol)
        self._served.add(protocol)
        try:
            yield
        finally:
            self._served.discard(protocol)

    def _end_oldest(self, living: Sequence[web.RequestHandler]) -> None:
        oldest = next((each for each in living if each not in self._served), None)
        if oldest is not None:
            _end(oldest)

    def _end_silent(self, protocol: web.RequestHandler) -> None:
        if protocol in self._silent:
            self._silent.discard(protocol)
            _end(protocol)


def _lives(protocol: web.RequestHandler) -> bool:
    return protocol.transport is not None and not protocol.transport.is_closing()


def _end(protocol: web.RequestHandler) -> None:
    transport = protocol.transport
    if transport is not None:
        transport.abort()
