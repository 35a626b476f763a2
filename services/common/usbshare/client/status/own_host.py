"""What the machines of this computer are doing, asked of its own service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TextIO

from pydantic import ConfigDict, Field

from usbshare.base.addresses import parse_address, split_host_port
from usbshare.base.config import Table, checked
from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.base.paths import config_folder
from usbshare.base.usual_ports import JOB_PORT
from usbshare.client.serial.client import SerialClient
from usbshare.client.status.follow import STATUS, Followed
from usbshare.client.status.host_jobs import HostJobs
from usbshare.client.status.host_watch import look_once
from usbshare.rpc.channel import DEFAULT_PORT, Target
from usbshare.rpc.tls import ClientBundle
from usbshare.trust.site import Site

TIMEOUT_S = 10.0


class JobTable(Table):
    """What counts of `[job]` here; job-svc checks the rest."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    listen: Annotated[str, checked(lambda text: split_host_port(text, 0))] = f"[::]:{JOB_PORT}"


class JobSettings(Table):
    """Where the job service of this computer listens."""

    job: JobTable = Field(default_factory=JobTable)


def operator_bundle() -> ClientBundle:
    """Return the certificate that a service of this computer made for its operator."""
    return ClientBundle.load(Site(config_folder(), "").client_bundle)


class OwnHost:
    """The service that listens there; `bundle` None: in plaintext."""

    def __init__(self, listen: str, bundle: ClientBundle | None, job_listen: str) -> None:
        self._target = _own_target(listen)
        self._bundle = bundle
        self._job_port = split_host_port(job_listen, JOB_PORT)[1]

    async def look(self, *, as_json: bool) -> str:
        """Return it in words or JSON; raises UsbshareError where no service answers."""
        place = self._target, self._bundle
        status = await look_once(str(self._target), *place, TIMEOUT_S, self._job_port)
        if status.failure:
            raise ConnectionRefusedByPeerError(status.failure)
        return STATUS.json_list([status]) if as_json else STATUS.page([status])

    async def watch(
        self, interval_s: float, stream: TextIO, tell: Callable[[str], None], *, as_json: bool
    ) -> None:
        """Show it again and again until SIGINT or SIGTERM."""
        followed = Followed(interval_s)
        followed.add(str(self._target), SerialClient(self._target, self._bundle), self._jobs())
        await followed.show(STATUS.on(stream, tell, as_json=as_json))

    def _jobs(self) -> HostJobs:
        return HostJobs(self._target, self._bundle, self._job_port)


def _own_target(listen: str) -> Target:
    host, port = split_host_port(listen, DEFAULT_PORT)
    address = parse_address(host)
    is_any = address is not None and address.is_unspecified
    return Target("127.0.0.1" if is_any else host, port)
