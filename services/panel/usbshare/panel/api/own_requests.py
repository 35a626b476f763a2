"""Requests about the panel's own computer: unpack, one call, pack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from usbshare.base.checkup import Verdict
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.host_requests import require_local
from usbshare.panel.api.json_text import text
from usbshare.panel.api.requests import Handler
from usbshare.panel.hosts.fleet import Fleet
from usbshare.panel.own_computer import EnrolledView, OwnComputer
from usbshare.panel.socket import Page
from usbshare.rpc.wire_time import timestamp

_RESULTS = {
    Verdict.OK: pb.CHECK_RESULT_OK,
    Verdict.WARNING: pb.CHECK_RESULT_WARNING,
    Verdict.FAILURE: pb.CHECK_RESULT_FAILED,
    Verdict.SKIPPED: pb.CHECK_RESULT_SKIPPED,
}


def own_handlers(
    own: OwnComputer, fleet: Fleet, enrolled: Callable[[EnrolledView], Awaitable[None]]
) -> Mapping[str, Handler]:
    """Return the handlers; `enrolled` is called when this computer has a new certificate."""

    async def read_invitation(page: Page, asked: pb.ReadInvitation, request_id: int) -> pb.Answer:
        require_local(page)
        view = await own.read_invitation(asked.text)
        return pb.Answer(
            invitation=pb.Invitation(
                target=view.target,
                site=view.site,
                end_time=timestamp(view.end),
                replaces=view.replaces,
                name=view.name,
                role=view.role,
            )
        )

    async def enrol(page: Page, asked: pb.Enrol, request_id: int) -> pb.Answer:
        require_local(page)
        view = await own.enrol(asked.text, replaces=asked.replaces)
        await enrolled(view)
        return pb.Answer(enrolled=pb.Enrolled(identity=view.identity, role=view.role))

    async def run_doctor(page: Page, asked: pb.RunDoctor, request_id: int) -> pb.Answer:
        host = fleet.get(asked.host).entry.instance.name if asked.host else ""
        report = pb.DoctorReport()
        async for check in own.check_up(host):
            judgement = check.judgement
            report.checks.add(
                name=check.name,
                result=_RESULTS[judgement.verdict],
                text=judgement.measured,
                remedy=judgement.remedy,
            )
            told = pb.Progress(request_id=request_id, done=len(report.checks), text=check.name)
            page.outbox.state(("progress", request_id), text(pb.Event(progress=told)))
        return pb.Answer(doctor=report)

    return {"read_invitation": read_invitation, "enrol": enrol, "run_doctor": run_doctor}
