"""The access control of every service: gate, audit log, limits, enrolment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import grpc
from prometheus_client.registry import Collector

from usbshare.access.v1.access_pb2_grpc import add_AccessServiceServicer_to_server
from usbshare.audit.log import AuditLog, audit_folder
from usbshare.audit.settings import AuditTable
from usbshare.authorization.api.interceptor import AccessInterceptor, PortOfJob
from usbshare.authorization.connections import Arrivals
from usbshare.authorization.denials import Refusals
from usbshare.authorization.gate import Gate
from usbshare.authorization.limits import Limits
from usbshare.authorization.rights import ResourceKind
from usbshare.authorization.rulebook import Rulebook
from usbshare.authorization.second_factor import FILE_NAME, SecondFactors
from usbshare.base.errors import ConfigError, NotSupportedError
from usbshare.base.file_watch import FileWatch
from usbshare.base.logs import logging_in_force
from usbshare.base.paths import SITE_FOLDER, config_folder, state_folder
from usbshare.base.service_settings import TlsTable
from usbshare.base.threads import OwnThread, in_thread
from usbshare.base.version import usbshare_version
from usbshare.enrolment.administration import SiteAdministration
from usbshare.enrolment.api.access_servicer import SiteAccessServicer, SiteOfService
from usbshare.enrolment.invitation_warnings import InvitationPlace
from usbshare.enrolment.last_seen import Seen
from usbshare.enrolment.listener_options import ListenerOptions
from usbshare.enrolment.listener_process import ListenerProcess
from usbshare.handshakes.reporting import handshake_log
from usbshare.rpc.flood_guard import flood_guard
from usbshare.rpc.identity import Identity
from usbshare.service.metrics import CertificateCollector, RulesCollector
from usbshare.trust.site import Site
from usbshare.trust.site_renewal import Renewed, keep_current, renew

LOAD_TIMEOUT_S = 20.0
AUDIT_CLOSE_TIMEOUT_S = 2.0
Ids = Callable[[], Iterable[str]]
# A command of a few bytes takes more on the wire: its frame, its record of TLS, its envelope.
WIRE_OVERHEAD = 2.0


@dataclass(frozen=True, slots=True)
class Guard:
    """One service's access control; `offers` must be called before it serves."""

    site: Site | None
    service: str
    tls: TlsTable
    audits: AuditTable
    rulebook: Rulebook
    gate: Gate
    second_factors: SecondFactors
    audit: AuditLog
    limits: Limits
    seen: Seen
    watch: FileWatch
    _thread: OwnThread
    _reader: OwnThread
    _changes: OwnThread
    _offered: dict[ResourceKind, Ids] = field(default_factory=dict)
    _jobs: list[PortOfJob] = field(default_factory=list)
    _inviting: list[Callable[[], InvitationPlace]] = field(default_factory=list)

    @property
    def interceptors(self) -> Sequence[grpc.aio.ServerInterceptor]:
        """The interceptors that ask the gate about every RPC."""
        refusals = Refusals(self.audit, time.monotonic)
        host = "" if self.site is None else self.site.host_uri
        seen = Arrivals(self.audit, host, self.seen)
        interceptor = AccessInterceptor(
            self.gate, self.limits, seen, refusals, self._resolve, self._port_of_job
        )
        return (interceptor,)

    def offers(self, kind: ResourceKind, ids: Ids) -> None:
        """Set the ports or cameras; `ids` returns the current ones."""
        self._offered[kind] = ids

    def offers_jobs(self, port_of_job: PortOfJob) -> None:
        """Set how to find the port of a job: rights on jobs are those on their ports."""
        self._jobs.append(port_of_job)

    def invites(self, serial_port: Callable[[], int], interfaces: Sequence[str]) -> None:
        """Allow invitations over the network, to a serial service at that port of this host."""
        listen = self.tls.enrolment
        self._inviting.append(lambda: InvitationPlace(listen, serial_port(), interfaces))

    def add_services(self, server: grpc.aio.Server) -> None:
        """Add the RPCs about rights."""
        servicer = SiteAccessServicer(
            self.gate,
            self.audit,
            self._all_offered,
            self._renew,
            self._thread,
            time.monotonic,
            site=self._of_site(),
            reader=self._reader,
            changes=self._changes,
        )
        add_AccessServiceServicer_to_server(servicer, server)

    def collectors(self) -> Sequence[Collector]:
        """Return the collectors for the service's metrics."""
        return CertificateCollector(self.site), RulesCollector(self.rulebook)

    def background(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return the background tasks of the service, by name; for `run_until`."""
        tasks = {
            "follow_rules": self.rulebook.follow(self.watch, self.gate.time_passed),
            "follow_second_factors": self.second_factors.follow(self.watch),
            "note_callers": self.seen.keep(),
            "note_renewed": self.rulebook.uses.keep(),
        }
        if self.site is not None:
            tasks["keep_certificates"] = keep_current(self.site, self.tls.names)
            if self.tls.enrolment:
                listener = ListenerProcess(self._listener_options(self.site), _utc_now)
                tasks["enrol"] = listener.run(self.watch)
        return tasks

    def against_floods(self, port: int) -> AbstractContextManager[None]:
        """Limit what each address may send to the service's port during the block."""
        note: Callable[..., None] = self.audit.note
        return flood_guard(
            port, lambda: WIRE_OVERHEAD * self.rulebook.policy.limits.bytes_per_s, note
        )

    def close(self) -> None:
        """End the threads."""
        self.watch.close()
        self.rulebook.close()
        for thread in (self._thread, self._reader, self._changes):
            thread.close()

    def _listener_options(self, site: Site) -> ListenerOptions:
        level, as_json = logging_in_force()
        return ListenerOptions(
            listen=self.tls.enrolment,
            folder=str(site.folder),
            fingerprint=site.fingerprint,
            known_id=site.known_id,
            life_s=site.life.total_seconds(),
            service=self.service,
            audit_bytes=self.audits.max_bytes,
            audit_keep=self.audits.keep,
            audit_keep_days=self.audits.keep_days,
            audit_bytes_a_day=self.audits.identity_bytes_a_day,
            log_level=level,
            log_as_json=as_json,
        )

    def _of_site(self) -> SiteOfService | None:
        if self.site is None:
            return None
        administration = SiteAdministration(self.site, state_folder(), self.audit, _utc_now)
        place = self._inviting[0] if self._inviting else None
        return SiteOfService(administration, audit_folder(), place)

    def _all_offered(self) -> dict[ResourceKind, Iterable[str]]:
        return {kind: ids() for kind, ids in self._offered.items()}

    def _resolve(self, kind: ResourceKind, caller: Identity) -> str:
        """Return the id that an empty one means: the only one that the caller may see."""
        ids = self._offered.get(kind)
        found = self.gate.known_to(caller, kind, ids()) if ids is not None else []
        return found[0] if len(found) == 1 else ""

    def _port_of_job(self, job_id: int) -> str | None:
        return self._jobs[0](job_id) if self._jobs else None

    def _renew(self, caller: Identity, request_pem: str) -> Renewed:
        if self.site is None:
            raise NotSupportedError("plaintext uses no certificate: there is nothing to renew")
        renewed = renew(self.site, caller, request_pem)
        self.rulebook.expect(renewed.serial)
        return renewed


@asynccontextmanager
async def open_guard(
    site: Site | None, *, service: str, tls: TlsTable, audit: AuditTable
) -> AsyncIterator[Guard]:
    """Guard a service while the block lasts; without a site every call is allowed.

    Raises ConfigError if the policy has mistakes.
    """
    log = AuditLog(
        audit_folder(),
        service,
        max_bytes=audit.max_bytes,
        keep=audit.keep,
        keep_days=audit.keep_days,
        bytes_a_day=audit.identity_bytes_a_day,
    )
    guard = _guard(site, service, tls, audit, log)
    await _load(guard.rulebook)
    unfollow = guard.gate.follow_rules()
    log.start()
    log.note(
        "service started",
        version=usbshare_version(),
        plaintext=site is None,
        policy_sha256=guard.rulebook.policy_sha256,
    )
    note: Callable[..., None] = log.note
    try:
        with handshake_log(note):
            yield guard
    finally:
        unfollow()
        guard.close()
        log.note("service stopped")
        await in_thread(log.close, AUDIT_CLOSE_TIMEOUT_S)


async def _load(rulebook: Rulebook) -> None:
    try:
        await asyncio.wait_for(in_thread(rulebook.load), LOAD_TIMEOUT_S)
    except TimeoutError as error:
        raise ConfigError(
            f"{rulebook.policy_path.parent} does not answer within {LOAD_TIMEOUT_S:.0f} s, so "
            "the access rules are unknown: fix its disk, then start again"
        ) from error


def _guard(
    site: Site | None, service: str, tls: TlsTable, audits: AuditTable, audit: AuditLog
) -> Guard:
    folder = config_folder() if site is None else site.folder
    rulebook = Rulebook(folder, "" if site is None else site.id, audit)
    factors = SecondFactors(folder / SITE_FOLDER / FILE_NAME, time.monotonic)
    return Guard(
        site=site,
        service=service,
        tls=tls,
        audits=audits,
        rulebook=rulebook,
        gate=Gate(rulebook, factors, audit, _utc_now, service),
        second_factors=factors,
        audit=audit,
        limits=Limits(lambda: rulebook.policy.limits, time.monotonic),
        seen=Seen(state_folder(), service, _utc_now),
        watch=FileWatch("file watch"),
        _thread=OwnThread("certificates"),
        _reader=OwnThread("audit reader"),
        _changes=OwnThread("administration"),
    )


_utc_now = partial(datetime.now, UTC)
