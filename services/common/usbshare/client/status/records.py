"""What hosts and their machines are doing at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from usbshare.client.jobs.messages import RemoteJob
from usbshare.client.serial.latency import LatencySummary
from usbshare.client.serial.machine import MachineStatus
from usbshare.client.serial.messages import RemotePort


@dataclass(frozen=True, slots=True)
class PortStatus:
    """A port, and what its machine is doing; `machine` None where nobody can tell.

    `jobs` are those on the host that have not ended, what runs first; None without a job service.
    """

    port: RemotePort
    machine: MachineStatus | None = None
    jobs: tuple[RemoteJob, ...] | None = None


@dataclass(frozen=True, slots=True)
class HostStatus:
    """A host's ports and how far away it is; `failure` says why it did not answer.

    `job_troubles`: what is wrong with its job service, for people. `silent_since`: when it was
    heard last (UTC) if it does not answer now; what is told of its ports is of then.
    """

    name: str
    target: str
    ports: tuple[PortStatus, ...] = ()
    link: LatencySummary | None = None
    failure: str = ""
    job_troubles: tuple[str, ...] = ()
    silent_since: datetime | None = None
