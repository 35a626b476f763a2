"""Register a camera of this computer: python announce.py 127.0.0.1:50053 CLIENT_PEM.

Needs grpcio, protobuf and the generated modules of usbshare.discovery.v1, nothing else of usbshare.
"""
# ruff: noqa: T201 - printing is what it is for

import re
import sys
import time
from pathlib import Path

import grpc

from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub


def requests():
    """Yield what to announce, then renew it until this program ends."""
    yield pb.AnnounceRequest(endpoints=[pb.Endpoint(kind=pb.KIND_CAMERA, port=8554)])
    while True:
        time.sleep(10)
        yield pb.AnnounceRequest()


pem = re.compile(rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----\n", re.DOTALL)
key, certificate, *authorities = pem.findall(Path(sys.argv[2]).read_bytes())
credentials = grpc.ssl_channel_credentials(b"".join(authorities), key, certificate)
with grpc.secure_channel(sys.argv[1], credentials) as channel:
    for response in DiscoveryServiceStub(channel).Announce(requests()):
        print("announced as", response.name, flush=True)
