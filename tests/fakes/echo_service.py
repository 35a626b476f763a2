"""A whole service: what docs/architecture.md shows, and what starts it as a process."""

# [docs]
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from google.protobuf.wrappers_pb2 import StringValue
from pydantic import Field

from fakes.echo_proto import SERVICE_NAME, add_echo_to_server
from usbshare.audit.settings import AuditTable
from usbshare.base.config import Table
from usbshare.base.service_settings import Address, ListenTable, TlsTable
from usbshare.service import harness
from usbshare.service.cli import run_command_line
from usbshare.service.command import service_command
from usbshare.service.harness import Host, Parts
from usbshare.service.program import Program

PROGRAM = Program(
    name="echo-svc",
    package="example.echo_svc",
    section="echo",
    listen_variable="ECHO_LISTEN",
    port=50060,
    metrics_port=9470,
    does="hear an echo",
)


class EchoTable(ListenTable):
    listen: Address = PROGRAM.address
    prefix: str = ""


class Settings(Table):
    echo: EchoTable = Field(default_factory=EchoTable)
    tls: TlsTable = Field(default_factory=TlsTable)
    audit: AuditTable = Field(default_factory=AuditTable)


class EchoServicer:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def Echo(self, request: StringValue, context: object) -> StringValue:
        return StringValue(value=self._prefix + request.value)


@asynccontextmanager
async def parts(settings: Settings, host: Host) -> AsyncIterator[Parts]:
    servicer = EchoServicer(settings.echo.prefix)
    yield Parts(SERVICE_NAME, partial(add_echo_to_server, servicer))


async def serve(settings: Settings, insecure: bool) -> None:
    await harness.serve(PROGRAM, settings, partial(parts, settings), insecure=insecure)


cli = service_command(PROGRAM, Settings, serve, "Say again what a client says.")
# [/docs]

if __name__ == "__main__":
    run_command_line(PROGRAM.name, cli)
