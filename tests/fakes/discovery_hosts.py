"""Computers with services that announce themselves, all on loopback, and a client that watches."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from fakes.processes import Process, free_port, running
from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub
from usbshare.rpc.channel import channel_credentials
from usbshare.rpc.tls import ClientBundle

DEADLINE_S = 60.0


@dataclass
class Computer:
    """One with its own name; those with the same home are of one site."""

    home: Path
    beacon_port: int
    name: str = field(default_factory=lambda: f"laser-{uuid.uuid4().hex[:8]}")
    discovery_port: int = field(default_factory=free_port)
    serial_port: int = field(default_factory=free_port)
    more: str = ""
    ports: tuple[str, ...] = ("laser",)

    @property
    def config(self) -> Path:
        """The configuration of all its services, rewritten."""
        self.home.mkdir(exist_ok=True)
        path = self.home / f"{self.discovery_port}.toml"
        ports = "".join(f'[ports.{port}]\nsource = "sim://grbl"\n' for port in self.ports)
        path.write_text(
            f'[discovery]\nlisten = "127.0.0.1:{self.discovery_port}"\nname = "{self.name}"\n'
            f"beacon_port = {self.beacon_port}\n{self.more}\n"
            f'[service]\nlisten = "127.0.0.1:{self.serial_port}"\n{ports}'
        )
        return path

    @property
    def discovery_target(self) -> str:
        """Where its discovery service listens."""
        return f"127.0.0.1:{self.discovery_port}"

    @property
    def endpoints(self) -> set[tuple[int, int]]:
        """What it offers when all of its services run."""
        both = {(pb.KIND_SERIAL, self.serial_port), (pb.KIND_DISCOVERY, self.discovery_port)}
        return {(int(kind), port) for kind, port in both}

    @property
    def bundle(self) -> ClientBundle:
        """What a client of its site has."""
        return ClientBundle.load(self.home / "config" / "usbshare" / "client.pem")

    @contextmanager
    def discovery(self) -> Iterator[Process]:
        """Run its discovery service."""
        arguments = ["discovery-svc", "--config", str(self.config)]
        with running(arguments, self.home) as process:
            process.wait_for("discovery-svc ready at")
            yield process

    @contextmanager
    def serial(self) -> Iterator[Process]:
        """Run its serial service; yields once that is announced."""
        with running(["serial-svc", "--config", str(self.config)], self.home) as process:
            process.wait_for("announced as")
            yield process

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """Connect to its discovery service, as a client of its site."""
        credentials = channel_credentials(self.bundle)
        with grpc.secure_channel(self.discovery_target, credentials) as channel:
            yield channel

    @contextmanager
    def watched(self) -> Iterator[Watcher]:
        """Watch what its discovery service sees."""
        with self.channel() as channel:
            watcher = Watcher(channel)
            try:
                yield watcher
            finally:
                watcher.close()


class Watcher:
    """A client of Watch that keeps what it received: each event, and the set as of now."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.events: list[tuple[str, str]] = []  # what happened, to whom
        self.instances: dict[str, pb.Instance] = {}
        self._news = threading.Condition()
        self._end = threading.Event()
        self._call: Any = DiscoveryServiceStub(channel).Watch(self._requests())
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> float:
        """Return how long it took until the condition held; fails with the events."""
        start = time.monotonic()
        with self._news:
            held = self._news.wait_for(condition, deadline_s)
            assert held, f"{self.events}\n{self.instances}"
        return time.monotonic() - start

    def wait_for_host(self, computer: Computer) -> pb.Instance:
        """Return a computer's instance once it has all endpoints."""

        def is_whole() -> bool:
            found = self.named(computer.name)
            return found is not None and endpoints(found) == computer.endpoints

        self.wait_for(is_whole)
        found = self.named(computer.name)
        assert found is not None
        return found

    def named(self, name: str) -> pb.Instance | None:
        """Return the instance of that name, if there is one."""
        return next((each for each in self.instances.values() if each.name == name), None)

    def close(self) -> None:
        """End the stream."""
        self._end.set()
        self._call.cancel()
        self._reader.join(DEADLINE_S)

    def _requests(self) -> Iterator[pb.WatchRequest]:
        yield pb.WatchRequest()
        self._end.wait()

    def _read(self) -> None:
        try:
            for response in self._call:
                with self._news:
                    self._take(response)
                    self._news.notify_all()
        except grpc.RpcError:
            pass  # the service or the test ended

    def _take(self, response: pb.WatchResponse) -> None:
        kind = response.WhichOneof("event") or ""
        if kind == "snapshot":
            self.instances = {each.id: each for each in response.snapshot.instances}
            self.events.append((kind, ""))
            return
        instance: pb.Instance = getattr(response, kind)
        self.events.append((kind, instance.name))
        if kind == "removed":
            del self.instances[instance.id]
        else:
            self.instances[instance.id] = instance


def endpoints(instance: pb.Instance) -> set[tuple[int, int]]:
    """Return what an instance offers, as kind and port."""
    return {(int(each.kind), each.port) for each in instance.endpoints}
