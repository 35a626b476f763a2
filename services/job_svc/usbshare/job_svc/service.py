"""What job-svc brings to the harness: its jobs, its way to the serial service, their servicer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from usbshare.authorization.rights import ResourceKind
from usbshare.base.background_writer import Background
from usbshare.base.errors import ConfigError
from usbshare.base.os_errors import in_words
from usbshare.base.paths import state_folder
from usbshare.base.threads import in_thread
from usbshare.hosts.instance import Kind
from usbshare.job.v1.job_pb2_grpc import add_JobServiceServicer_to_server
from usbshare.job_svc.api.metrics import JobCollector
from usbshare.job_svc.api.servicer import SERVICE_NAME, JobServicer
from usbshare.job_svc.run.analyses import Analyses
from usbshare.job_svc.run.condition import Condition
from usbshare.job_svc.run.ports import Ports
from usbshare.job_svc.run.runner import Runner
from usbshare.job_svc.run.serial_link import SerialLink
from usbshare.job_svc.run.spool import Spool
from usbshare.job_svc.settings import PROGRAM, FilesTable, Settings
from usbshare.job_svc.storage.database import JobDatabase
from usbshare.job_svc.storage.files import FileStore
from usbshare.job_svc.storage.job import Job
from usbshare.job_svc.storage.notes import JobNotes
from usbshare.rpc.channel import QUIET_KEEPALIVE, parse_target
from usbshare.service import harness
from usbshare.service.harness import Host, Parts

log = logging.getLogger(__name__)

LOAD_TIMEOUT_S = 60.0
FIRST_LOOK_S = 2.0
STOPPING = "the job service was stopped"


async def serve(settings: Settings, insecure: bool) -> None:
    """Serve until SIGINT or SIGTERM; raises ConfigError when it cannot start."""
    parts = partial(_parts, settings)
    await harness.serve(PROGRAM, settings, parts, insecure=insecure, keepalive=QUIET_KEEPALIVE)


@asynccontextmanager
async def _parts(settings: Settings, host: Host) -> AsyncIterator[Parts]:
    guard, folder = host.guard, state_folder() / PROGRAM.name
    host.bind()  # one service at a time has the files
    async with harness.state_folder_thread() as background:
        database = JobDatabase(folder)
        spool = _spool(settings.files, folder, database, background)
        spool.jobs.take_over(await _load(database, spool, folder), database.last_number)
        link = SerialLink(parse_target(settings.serial.target), host.site)
        ports = Ports(link.list_ports, lambda: {each.port_id for each in spool.jobs.all})
        guard.offers(ResourceKind.PORT, lambda: ports.ids)
        guard.offers_jobs(spool.port_of)
        await link.prepare()
        await _first_look(ports)
        analyses = Analyses(spool.files, ports.get, folder)
        site_id = "" if host.site is None else host.site.id
        runner = Runner(
            *(spool, link, analyses, guard.gate, guard.audit, site_id), settings.jobs.attended_s
        )
        condition = Condition(database.kept_aside, lambda: spool.notes.trouble, ports)
        await condition.look()
        servicer = JobServicer(spool, runner, analyses, ports, condition, guard.gate, guard.audit)
        try:
            yield Parts(
                service_name=SERVICE_NAME,
                add_to_server=partial(add_JobServiceServicer_to_server, servicer),
                described=lambda: _described(spool, link, condition),
                collectors=[JobCollector(spool, condition)],
                is_well=lambda: condition.is_well,
                tasks=lambda: {
                    "follow_ports": ports.follow(),
                    "follow_condition": condition.follow(),
                    "announce": harness.announce(host.announcing(settings.discovery, Kind.JOB)),
                },
                close=servicer.close,
            )
        finally:
            await runner.close()
            await analyses.close()
            spool.interrupt_all(STOPPING)
            spool.files.close()
            await link.close()
    await in_thread(database.close)


def _spool(table: FilesTable, folder: Path, database: JobDatabase, background: Background) -> Spool:
    store = FileStore(folder / "files", table.max_bytes, table.max_file_bytes)
    notes = JobNotes(database, background, time.monotonic)
    return Spool(store, notes, lambda: datetime.now(UTC))


async def _load(database: JobDatabase, spool: Spool, folder: Path) -> list[Job]:
    try:
        async with harness.aloud(f"the jobs in {folder}"), asyncio.timeout(LOAD_TIMEOUT_S):
            jobs = await in_thread(database.load)
            await spool.files.load()
    except TimeoutError as error:
        raise ConfigError(
            f"{folder} does not answer within {LOAD_TIMEOUT_S:.0f} s: fix its disk, then "
            "start again"
        ) from error
    except OSError as error:
        raise ConfigError(f"the jobs of this host: {in_words(error)}") from error
    return jobs


async def _first_look(ports: Ports) -> None:
    """Read the ports before the service is ready, unless the serial service is slow to answer."""
    try:
        async with asyncio.timeout(FIRST_LOOK_S):
            await ports.look()
    except TimeoutError:
        log.warning("serial-svc does not report its ports yet")


def _described(spool: Spool, link: SerialLink, condition: Condition) -> str:
    waiting = sum(not each.state.has_ended for each in spool.jobs.all)
    damaged = "; a damaged record of jobs is kept aside" if condition.damaged else ""
    return f"jobs waiting: {waiting}, serial-svc at {link.target}{damaged}"
