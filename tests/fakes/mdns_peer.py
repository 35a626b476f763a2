"""Another computer in mDNS: an MdnsNode in another process, controlled line by line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.instance import Endpoint, Instance, Kind
from usbshare.hosts.mdns.mdns import MdnsNode
from usbshare.hosts.settings import DiscoveryTable

DEADLINE_S = 30.0

Entry = dict[str, Any]


class Peer:
    """The process, seen from outside: the commands it was given, and its current catalogue."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._news = threading.Condition()
        self._ended = False
        self.names: list[str] = []
        self.entries: dict[str, Entry] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def announce(self, name: str, port: int = 50051, port_ids: Sequence[str] = ()) -> str:
        """Announce there and return the name it got."""
        before = len(self.names)
        self.begin_announce(name, port, port_ids)
        self._wait(lambda: len(self.names) > before)
        return self.names[-1]

    def begin_announce(self, name: str, port: int = 50051, port_ids: Sequence[str] = ()) -> None:
        """Have it announced without waiting."""
        self._tell({"announce": name, "port": port, "port_ids": list(port_ids)})

    def wait_for(
        self, name: str, holds: Callable[[Entry], bool] = lambda _: True, **expected: object
    ) -> Entry:
        """Return its entry of that name once it has what is expected."""

        def is_so() -> bool:
            entry = self.entries.get(name)
            return (
                entry is not None
                and all(entry[key] == expected[key] for key in expected)
                and holds(entry)
            )

        self._wait(is_so)
        return self.entries[name]

    def wait_until(self, is_so: Callable[[dict[str, Entry]], object]) -> None:
        """Return when what its catalogue has, by name, is so."""
        self._wait(lambda: is_so(self.entries))

    def wait_until_gone(self, name: str) -> None:
        """Return when nothing of that name is in its catalogue."""
        self._wait(lambda: name not in self.entries)

    def stop(self) -> None:
        """Have it close; it has withdrawn its announcements when this returns."""
        if self._process.poll() is None:
            self._tell({"close": True})
        self._process.wait(DEADLINE_S)

    def kill(self) -> None:
        """End it without withdrawing its announcements."""
        self._process.kill()
        self._process.wait(DEADLINE_S)

    def _tell(self, command: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def _wait(self, condition: Callable[[], object]) -> None:
        with self._news:
            self._news.wait_for(lambda: self._ended or condition(), DEADLINE_S)
            assert condition(), f"names {self.names}, entries {self.entries}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            news = json.loads(line)
            with self._news:
                self.entries = news.get("entries", self.entries)
                self.names += news.get("names", [])
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@contextmanager
def mdns_peer(interfaces: Sequence[str], within: Sequence[str] = ()) -> Iterator[Peer]:
    """Run one on these interfaces; `within` comes before its command line: `ip netns exec …`."""
    command = [*within, sys.executable, "-W", "error", __file__, *interfaces]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    with process:
        peer = Peer(process)
        try:
            peer._wait(lambda: "ready" in peer.names)
            yield peer
            peer.stop()
        finally:
            process.kill()


async def _run(interfaces: Sequence[str]) -> None:
    catalogue = Catalogue(time.monotonic)
    settings = DiscoveryTable(interfaces=list(interfaces))
    node = MdnsNode(catalogue, SourceCounters(time.monotonic), settings)
    catalogue.subscribe(lambda: _say({"entries": _entries(catalogue)}))
    await node.start()
    _say({"names": ["ready"]})
    try:
        while command := json.loads(await asyncio.to_thread(sys.stdin.readline) or "{}"):
            if "announce" not in command:
                break
            _say({"names": [await node.announce(_instance(command))]})
    finally:
        await node.close()


def _instance(command: dict[str, Any]) -> Instance:
    endpoints = (Endpoint(Kind.SERIAL, command["port"]),)
    return Instance(command["announce"], (), endpoints, port_ids=tuple(command["port_ids"]))


def _entries(catalogue: Catalogue) -> dict[str, Entry]:
    return {
        each.instance.name: {
            "addresses": list(each.instance.addresses),
            "port": each.instance.port_of(Kind.SERIAL),
            "port_ids": list(each.instance.port_ids),
            "host": each.instance.host,
        }
        for each in catalogue.entries()
    }


def _say(news: dict[str, object]) -> None:
    print(json.dumps(news), flush=True)


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1:]))
