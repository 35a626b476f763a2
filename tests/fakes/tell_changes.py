"""A client of Watch as a program, a line a change: python tell_changes.py TARGET CLIENT_PEM."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc

from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub
from usbshare.rpc.channel import channel_credentials
from usbshare.rpc.tls import ClientBundle


def requests() -> Iterator[pb.WatchRequest]:
    """Ask for all, and leave the stream open."""
    yield pb.WatchRequest()
    threading.Event().wait()


def main(target: str, bundle: Path) -> None:
    """Watch until the stream ends."""
    credentials = channel_credentials(ClientBundle.load(bundle))
    with grpc.secure_channel(target, credentials) as channel:
        for response in DiscoveryServiceStub(channel).Watch(requests()):
            tell(response)


def tell(response: pb.WatchResponse) -> None:
    """Print what happened to whom, with the kinds of its services."""
    kind = response.WhichOneof("event") or ""
    some = response.snapshot.instances if kind == "snapshot" else [getattr(response, kind)]
    for instance in some:
        services = ",".join(pb.Kind.Name(each.kind) for each in instance.endpoints)
        print(kind, instance.name, services, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
