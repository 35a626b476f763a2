"""The job service's configuration: its part of the TOML file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from usbshare.audit.settings import AuditTable
from usbshare.base.addresses import split_host_port
from usbshare.base.config import Table, checked
from usbshare.base.errors import InvalidArgumentError
from usbshare.base.service_settings import Address, ListenTable, TlsTable
from usbshare.base.usual_ports import JOB_PORT, SERIAL_PORT
from usbshare.hosts.settings import DiscoveryTable
from usbshare.service.program import Program

PROGRAM = Program(
    name="job-svc",
    package="usbshare.job_svc",
    section="job",
    listen_variable="USBSHARE_JOB_LISTEN",
    port=JOB_PORT,
    metrics_port=9467,
    does="run programs on the machines",
    ends="jobs and watches",
)
MEGABYTE = 1_000_000


def _require_target(text: str) -> None:
    """Refuse an invalid target, without gRPC, which is imported once the settings are read."""
    if split_host_port(text, SERIAL_PORT)[1] == 0:
        raise InvalidArgumentError(f"{text!r}: the port '0' is not a number from 1 to 65535")


Target = Annotated[str, checked(_require_target)]


class ServiceTable(ListenTable):
    """`[job]`: where the service listens and what it logs."""

    listen: Address = PROGRAM.address


class SerialTable(Table):
    """`[serial]`: the serial service whose machines run the jobs."""

    target: Target = f"127.0.0.1:{SERIAL_PORT}"


class JobsTable(Table):
    """`[jobs]`: how jobs are run."""

    attended_s: float = Field(default=30.0, ge=1, le=86400)


class FilesTable(Table):
    """`[files]`: what the files of jobs may take of the disk."""

    max_bytes: int = Field(default=2000 * MEGABYTE, ge=MEGABYTE, le=10**15)
    max_file_bytes: int = Field(default=256 * MEGABYTE, ge=1000, le=10**12)


class Settings(Table):
    """The tables that job-svc reads; the file may have others, for other services."""

    job: ServiceTable = Field(default_factory=ServiceTable)
    serial: SerialTable = Field(default_factory=SerialTable)
    jobs: JobsTable = Field(default_factory=JobsTable)
    files: FilesTable = Field(default_factory=FilesTable)
    tls: TlsTable = Field(default_factory=TlsTable)
    audit: AuditTable = Field(default_factory=AuditTable)
    discovery: DiscoveryTable = Field(default_factory=DiscoveryTable)
