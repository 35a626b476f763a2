"""What `protoc` and grpcio-tools would make of a service with one RPC, made at run time."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2

from usbshare.access.v1 import access_pb2

SERVICE_NAME = "example.echo.v1.EchoService"


def _define() -> None:
    file = descriptor_pb2.FileDescriptorProto(
        name="example/echo/v1/echo.proto",
        package="example.echo.v1",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto", "usbshare/access/v1/access.proto"],
    )
    text = ".google.protobuf.StringValue"
    method = file.service.add(name="EchoService").method.add(
        name="Echo", input_type=text, output_type=text
    )
    method.options.Extensions[access_pb2.requirement].right = access_pb2.RIGHT_VIEW
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


def add_echo_to_server(servicer: Any, server: grpc.aio.Server) -> None:
    """Register a servicer, as generated code does."""
    echo = grpc.unary_unary_rpc_method_handler(
        servicer.Echo,
        request_deserializer=wrappers_pb2.StringValue.FromString,
        response_serializer=wrappers_pb2.StringValue.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(SERVICE_NAME, {"Echo": echo})
    server.add_generic_rpc_handlers((handlers,))


_define()
