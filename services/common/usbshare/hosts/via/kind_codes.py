"""The kinds of services as discovery.proto numbers them."""

from __future__ import annotations

from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.hosts.instance import Kind

CODE_OF_KIND = {
    Kind.SERIAL: pb.KIND_SERIAL,
    Kind.CAMERA: pb.KIND_CAMERA,
    Kind.DISCOVERY: pb.KIND_DISCOVERY,
    Kind.JOB: pb.KIND_JOB,
    Kind.USB: pb.KIND_USB,
}
KIND_OF_CODE = {code: kind for kind, code in CODE_OF_KIND.items()}
