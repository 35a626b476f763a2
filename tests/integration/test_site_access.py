"""Who is in a site, seen and changed over real connections by who may."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pyotp
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_reflection.v1alpha import reflection_pb2 as reflection
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from fakes.guarded_host import GuardedHost, guarded_host
from fakes.processes import free_port
from usbshare.access.v1 import access_pb2 as pb
from usbshare.access.v1.access_pb2_grpc import AccessServiceStub
from usbshare.authorization.second_factor import SecondFactors
from usbshare.base.errors import UsbshareError
from usbshare.base.service_settings import TlsTable
from usbshare.bridge.enrolment.certificate_request import enrol, require_place
from usbshare.enrolment import administration, invitation_maker, invitation_warnings
from usbshare.enrolment.api import administration_messages
from usbshare.enrolment.api.access_servicer import CHANGES_A_MINUTE
from usbshare.enrolment.invitation_maker import Answer, uncertified, wait_for_answer
from usbshare.enrolment.revocation import shut_out
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.tls import ClientBundle
from usbshare.serial.v1 import serial_pb2
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub
from usbshare.trust.identities import note_issued, read_identities, registry_path
from usbshare.trust.invitation import Invitation
from usbshare.trust.invitations import invitations_path, read_invitations

TIMEOUT_S = 60.0
OURS, OPENING = Answer.OURS, "is still opening enrolment"
POLICY = """
[groups]
admins = ["operator", "boss"]
operators = ["worker"]
viewers = []
keepers = ["keeper"]
[[grants]]
who = ["admins"]
rights = ["control", "admin"]
[[grants]]
who = ["operators"]
rights = ["control"]
[[grants]]
who = ["viewers"]
rights = ["view"]
ports = ["laser"]
[[grants]]
who = ["keepers"]
rights = ["admin"]
[[grants]]
who = ["laser-admin"]
rights = ["admin", "control"]
ports = ["laser"]
"""


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[GuardedHost]:
    tls = TlsTable(enrolment=f"127.0.0.1:{free_port()}")
    async with guarded_host(tmp_path / "host", POLICY, tls) as running:
        yield running


def access(host: GuardedHost, name: str, service: str = "serial") -> Any:
    return AccessServiceStub(host.channel(service, name))


async def invite(host: GuardedHost, by: str, name: str, role: str) -> pb.InviteResponse:
    request = pb.InviteRequest(name=name, role=role)
    made: pb.InviteResponse = await access(host, by).Invite(request, timeout=TIMEOUT_S)
    async with asyncio.timeout(TIMEOUT_S):  # a slow computer says that it is still opening
        while await asyncio.to_thread(wait_for_answer, host.site, host.tls.enrolment) is not OURS:
            pass
    return made


async def revoke(host: GuardedHost, by: str, name: str) -> pb.RevokeIdentityResponse:
    request = pb.RevokeIdentityRequest(name=name, reason="sold")
    reply: pb.RevokeIdentityResponse = await access(host, by).RevokeIdentity(
        request, timeout=TIMEOUT_S
    )
    return reply


async def refused(call: Any, code: grpc.StatusCode) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is code
    text = caught.value.details() or ""
    assert "\n" not in text
    return text


async def end_of(call: Any) -> Any:
    """Return the error that ends a stream."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while await call.read() is not grpc.aio.EOF:
                pass
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the stream ended without an error")


async def enrolled(host: GuardedHost, made: pb.InviteResponse, tmp_path: Path) -> ClientBundle:
    """Use an invitation; return the certificate."""
    invitation = Invitation.decode(made.invitation)
    path = tmp_path / invitation.name / "client.pem"
    require_place(path)
    await enrol(invitation, path)
    return ClientBundle.load(path)


async def next_entries(call: Any, event: str) -> pb.AuditEntry:
    async with asyncio.timeout(TIMEOUT_S):
        while isinstance(answer := await call.read(), pb.WatchAuditResponse):
            for entry in answer.entries:
                if entry.event == event:
                    return entry
    raise AssertionError("the stream has ended")


async def test_an_invited_identity_has_access_until_it_is_revoked(
    host: GuardedHost, tmp_path: Path
) -> None:
    boss = access(host, "boss")
    audit = boss.WatchAudit(pb.WatchAuditRequest(text="laptop"))
    made = await invite(host, "boss", "laptop", "operator")
    assert (made.role, made.rights) == ("operators", "view, stop, control")
    assert all(OPENING in each for each in made.warnings)
    entry = await next_entries(audit, "invited")
    assert entry.who == f"usbshare://{host.site.id}/boss"
    assert made.invitation not in str(entry)
    reply = await boss.ListInvitations(pb.ListInvitationsRequest(), timeout=TIMEOUT_S)
    assert [(each.name, each.role) for each in reply.invitations] == [("laptop", "operators")]

    bundle = await enrolled(host, made, tmp_path)
    assert (await next_entries(audit, "enrolled")).who.endswith("/laptop")
    found = await boss.ListIdentities(pb.ListIdentitiesRequest(), timeout=TIMEOUT_S)
    laptop = next(each for each in found.identities if each.name == "laptop")
    assert (laptop.role, laptop.rights, laptop.state) == ("operators", "view, stop, control", "ok")
    assert laptop.HasField("certificate_end_time")

    channel = open_channel(Target("127.0.0.1", host.targets["serial"].port), bundle)
    async with channel:
        await asyncio.wait_for(_first_port(channel), TIMEOUT_S)
        serial: Any = SerialServiceStub(channel)
        watching = serial.WatchPorts(serial_pb2.WatchPortsRequest())
        await watching.read()
        began = time.monotonic()
        done = await revoke(host, "boss", "laptop")
        assert done.identity == f"usbshare://{host.site.id}/laptop"
        assert "is revoked" in (await end_of(watching)).details()
        assert time.monotonic() - began < TIMEOUT_S
    entry = await next_entries(audit, "revoked")
    assert {each.name: each.value for each in entry.details}["reason"] == "sold"
    audit.cancel()


async def _first_port(channel: grpc.aio.Channel) -> None:
    """Wait until the policy, which enrolment changed, is in force."""
    stub: Any = SerialServiceStub(channel)
    while True:
        with suppress(grpc.aio.AioRpcError):
            reply = await stub.ListPorts(serial_pb2.ListPortsRequest(), timeout=TIMEOUT_S)
            if reply.ports:
                return
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", ["worker", "laser-admin", "stranger"])
async def test_others_see_and_change_nothing(host: GuardedHost, name: str) -> None:
    stub, denied = access(host, name), grpc.StatusCode.PERMISSION_DENIED
    calls = (
        stub.ListIdentities(pb.ListIdentitiesRequest(), timeout=TIMEOUT_S),
        stub.ListInvitations(pb.ListInvitationsRequest(), timeout=TIMEOUT_S),
        stub.Invite(pb.InviteRequest(name="x", role="viewer"), timeout=TIMEOUT_S),
        stub.WithdrawInvitation(pb.WithdrawInvitationRequest(name="x"), timeout=TIMEOUT_S),
        stub.RevokeIdentity(pb.RevokeIdentityRequest(name="boss"), timeout=TIMEOUT_S),
    )
    for call in calls:
        assert f"{name} may not administer the site" in await refused(call, denied)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.WatchAudit(pb.WatchAuditRequest(), timeout=TIMEOUT_S).read()
    assert caught.value.code() is denied


async def test_nobody_grants_more_than_they_have(host: GuardedHost) -> None:
    denied = grpc.StatusCode.PERMISSION_DENIED
    text = await refused(invite(host, "keeper", "x", "operator"), denied)
    assert text == (
        "x as operators would have rights that keeper lacks (control): "
        "nobody can grant more than they have"
    )
    assert "control" in await refused(invite(host, "keeper", "x", "admin"), denied)
    assert (await invite(host, "keeper", "x", "viewer")).rights == "view, stop"
    found = await access(host, "keeper").ListIdentities(
        pb.ListIdentitiesRequest(), timeout=TIMEOUT_S
    )
    assert {each.name: each.can_be_given for each in found.roles} == {
        "admins": False,
        "operators": False,
        "viewers": True,
        "keepers": True,
    }
    assert list(found.roles[-1].grants) == ["view on ports laser; cameras *"]


async def test_nobody_grants_without_a_code_what_they_need_a_code_for(host: GuardedHost) -> None:
    own = '[[grants]]\nwho = ["careful"]\nrights = '
    host.write_policy(f'{POLICY}{own}["admin"]\n{own}["control"]\nconfirm = "totp"')
    await _until_administrator(access(host, "careful"))
    text = await refused(
        invite(host, "careful", "x", "operator"), grpc.StatusCode.PERMISSION_DENIED
    )
    assert "x as operators would have rights that careful lacks (control with fewer codes)" in text
    assert (await invite(host, "careful", "x", "viewer")).rights == "view, stop"


async def test_a_name_with_a_grant_beyond_the_inviters_rights_is_refused(host: GuardedHost) -> None:
    text = await refused(
        invite(host, "keeper", "laser-admin", "viewer"), grpc.StatusCode.PERMISSION_DENIED
    )
    assert "would have rights that keeper lacks (control)" in text


async def test_an_invitation_is_withdrawn(host: GuardedHost, tmp_path: Path) -> None:
    made = await invite(host, "boss", "laptop", "viewer")
    request = pb.WithdrawInvitationRequest(name="laptop")
    reply = await access(host, "boss").WithdrawInvitation(request, timeout=TIMEOUT_S)
    assert reply.withdrawn == 1
    with pytest.raises(UsbshareError):  # refused, or nobody listens any more
        await enrolled(host, made, tmp_path)
    known = read_identities(registry_path(host.site.folder)).values()
    assert "laptop" not in [each.name for each in known]
    again = access(host, "boss").WithdrawInvitation(request, timeout=TIMEOUT_S)
    assert "no invitation for 'laptop' is open" in await refused(again, grpc.StatusCode.NOT_FOUND)


async def test_invitations_of_a_revoked_administrator_are_withdrawn(
    host: GuardedHost, tmp_path: Path
) -> None:
    keeper = f"usbshare://{host.site.id}/keeper"
    note_issued(registry_path(host.site.folder), keeper, host.bundle("keeper").certificate)
    given = await invite(host, "keeper", "laptop", "viewer")
    await invite(host, "boss", "tablet", "viewer")
    audit = access(host, "boss").WatchAudit(pb.WatchAuditRequest(text="laptop"))
    assert (await revoke(host, "boss", "keeper")).withdrawn == 1
    reply = await access(host, "boss").ListInvitations(
        pb.ListInvitationsRequest(), timeout=TIMEOUT_S
    )
    assert [each.name for each in reply.invitations] == ["tablet"]
    assert (await next_entries(audit, "invitation withdrawn")).who.endswith("/boss")
    with pytest.raises(UsbshareError):
        await enrolled(host, given, tmp_path)


async def test_an_administrator_revoked_while_inviting_lets_nobody_in(
    host: GuardedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"usbshare://{host.site.id}/boss"
    note_issued(registry_path(host.site.folder), uri, host.bundle("boss").certificate)
    make = invitation_maker.invite

    def overtaken(*arguments: Any, **named: Any) -> Invitation:
        shut_out(host.site.folder, uri, "stolen", datetime.now(UTC))  # as the command does
        return make(*arguments, **named)

    monkeypatch.setattr(administration, "invite", overtaken)
    text = await refused(
        invite(host, "boss", "laptop", "viewer"), grpc.StatusCode.PERMISSION_DENIED
    )
    assert "boss is revoked" in text
    given = read_invitations(invitations_path(host.site.folder))
    assert [(each.name, each.withdrawn) for each in given] == [("laptop", True)]


async def test_an_administrator_cannot_be_tricked(host: GuardedHost, tmp_path: Path) -> None:
    wrong = grpc.StatusCode.FAILED_PRECONDITION
    assert "boss cannot revoke itself" in await refused(revoke(host, "boss", "boss"), wrong)
    for own in ("job-svc", "operator", host.site.operator_uri):
        text = await refused(revoke(host, "boss", own), wrong)
        assert f"`serial-svc pki revoke {own}`" in text
    text = await refused(revoke(host, "boss", "host"), wrong)
    assert f"stop them there, remove {host.site.host_bundle}" in text
    known = read_identities(registry_path(host.site.folder))
    assert not known[host.site.operator_uri].is_revoked
    made = await invite(host, "boss", "laptop", "viewer")
    assert "is open" in await refused(invite(host, "boss", "laptop", "admin"), wrong)
    await enrolled(host, made, tmp_path)
    assert "valid certificate" in await refused(invite(host, "boss", "laptop", "admin"), wrong)
    await revoke(host, "boss", "laptop")
    assert (await invite(host, "boss", "laptop", "operator")).role == "operators"
    assert "is called 'nobody'" in await refused(
        revoke(host, "boss", "nobody"), grpc.StatusCode.NOT_FOUND
    )


async def test_the_last_administrator_stays(host: GuardedHost) -> None:
    uri = f"usbshare://{host.site.id}/chief"
    note_issued(registry_path(host.site.folder), uri, host.bundle("chief").certificate)
    host.write_policy(
        '[[grants]]\nwho = ["chief"]\nrights = ["admin"]\n'
        '[[grants]]\nwho = ["boss"]\nrights = ["admin"]\nuntil = 2999-01-01\n'
    )

    async def last() -> bool:
        try:
            await revoke(host, "boss", "chief")
        except grpc.aio.AioRpcError as error:
            return "is the last identity that may always administer this site" in (
                error.details() or ""
            )
        return False

    assert await last()
    assert not read_identities(registry_path(host.site.folder))[uri].is_revoked


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (pb.InviteRequest(name="Big", role="viewer"), "'Big' is not a valid name"),
        (pb.InviteRequest(name="operator", role="viewer"), "the host's own identity"),
        (pb.InviteRequest(name="x", role="kings"), "no group for the role 'kings'"),
        (
            pb.InviteRequest(name="x", role="viewer", lifetime=Duration(seconds=5)),
            "lifetime is 5 s",
        ),
        (
            pb.InviteRequest(name="x", role="viewer", lifetime=Duration(seconds=10**6)),
            "lifetime is",
        ),
        (pb.InviteRequest(name="x", role="viewer", addresses=["no spaces"]), "neither a DNS name"),
        (
            pb.InviteRequest(name="x" * 10_000, role="viewer"),
            "name and role may have at most 63 characters",
        ),
        (
            pb.InviteRequest(name="x", role="v" * 10_000),
            "name and role may have at most 63 characters",
        ),
    ],
)
async def test_bad_invitations_say_what_is_wrong(
    host: GuardedHost, request_: pb.InviteRequest, text: str
) -> None:
    call = access(host, "boss").Invite(request_, timeout=TIMEOUT_S)
    assert text in await refused(call, grpc.StatusCode.INVALID_ARGUMENT)


async def test_changes_need_the_second_factor_where_the_policy_asks(host: GuardedHost) -> None:
    uri = f"usbshare://{host.site.id}/boss"
    factors = SecondFactors(host.site.home / "totp.json", time.monotonic)
    app = pyotp.parse_uri(factors.make(uri))
    assert isinstance(app, pyotp.TOTP)
    host.write_policy(
        POLICY.replace('rights = ["control", "admin"]', 'rights = ["admin"]\nconfirm = "totp"')
    )

    stub = access(host, "boss")
    withdraw = pb.WithdrawInvitationRequest(name="laptop")
    while True:  # the policy is in force within a second
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.WithdrawInvitation(withdraw, timeout=TIMEOUT_S)
        if "needs a code from its authenticator app" in (caught.value.details() or ""):
            break
        await asyncio.sleep(0.1)
    await stub.ListIdentities(pb.ListIdentitiesRequest(), timeout=TIMEOUT_S)
    wrong = grpc.StatusCode.FAILED_PRECONDITION
    assert "needs a code" in await refused(revoke(host, "boss", "worker"), wrong)
    await stub.Confirm(pb.ConfirmRequest(code=app.now()), timeout=TIMEOUT_S)
    assert (await invite(host, "boss", "laptop", "viewer")).invitation


async def test_an_invitation_needs_the_audit_log_where_the_policy_requires_it(
    host: GuardedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await invite(host, "boss", "early", "viewer")
    audit = host.guards["serial-svc"].audit
    monkeypatch.setattr(type(audit), "trouble", property(lambda _: "no space left on device"))
    assert (await invite(host, "boss", "warned", "viewer")).invitation
    host.write_policy(f'audit = "required"\n{POLICY.replace("boss", "chief")}')
    await _until_administrator(access(host, "chief"))

    text = await refused(invite(host, "chief", "x", "viewer"), grpc.StatusCode.FAILED_PRECONDITION)
    assert "cannot invite anybody while the audit log cannot be written (no space left" in text
    stub = access(host, "chief")
    reply = await stub.ListInvitations(pb.ListInvitationsRequest(), timeout=TIMEOUT_S)
    assert [each.name for each in reply.invitations] == ["early", "warned"]
    request = pb.WithdrawInvitationRequest(name="early")
    assert (await stub.WithdrawInvitation(request, timeout=TIMEOUT_S)).withdrawn == 1
    assert (await revoke(host, "chief", "warned")).identity.endswith("/warned")


@pytest.mark.parametrize("damage", ["missing", "bad PEM"])
async def test_an_invitation_arrives_though_nobody_can_check_whether_it_can_be_used(
    host: GuardedHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    certificate = host.site.server_certificate
    intact = certificate.read_bytes()

    def damaged(*args: Any) -> Any:
        if damage == "missing":
            certificate.unlink()
        else:
            certificate.write_bytes(b"no certificate")
        try:
            return uncertified(*args)
        finally:
            certificate.write_bytes(intact)

    monkeypatch.setattr(invitation_warnings, "uncertified", damaged)
    made = await invite(host, "boss", "laptop", "viewer")
    assert [text.split(":")[0] for text in made.warnings if OPENING not in text] == [
        "cannot check whether the invitation can be used"
    ]
    assert (await enrolled(host, made, tmp_path)).certificate


async def test_the_audit_log_is_filtered_bounded_and_ends_with_the_right(
    host: GuardedHost,
) -> None:
    stub = access(host, "boss")
    calls = [stub.WatchAudit(pb.WatchAuditRequest(event="revoked")) for _ in range(8)]
    for call in calls:
        assert isinstance(await call.read(), pb.WatchAuditResponse)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.WatchAudit(pb.WatchAuditRequest()).read()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for call in calls[1:]:
        call.cancel()
    host.write_policy(POLICY.replace('"boss"', '"nobody"'))
    assert (await end_of(calls[0])).code() is grpc.StatusCode.PERMISSION_DENIED


async def test_changes_are_limited_and_reading_goes_on(host: GuardedHost) -> None:
    stub = access(host, "boss")
    request = pb.WithdrawInvitationRequest(name="nobody")
    for _ in range(CHANGES_A_MINUTE):
        call = stub.WithdrawInvitation(request, timeout=TIMEOUT_S)
        await refused(call, grpc.StatusCode.NOT_FOUND)
    call = stub.WithdrawInvitation(request, timeout=TIMEOUT_S)
    text = await refused(call, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert "may change who is enrolled 20 times a minute: wait" in text
    await stub.ListInvitations(pb.ListInvitationsRequest(), timeout=TIMEOUT_S)


async def test_a_reader_that_does_not_read_loses_a_counted_part_and_delays_no_stop(
    host: GuardedHost,
) -> None:
    audit = host.guards["serial-svc"].audit
    call = access(host, "boss").WatchAudit(pb.WatchAuditRequest())
    first = await call.read()
    last = max(each.number for each in first.entries if each.log == "serial-svc")
    serial: Any = SerialServiceStub(host.channel("serial", "worker"))
    stop = serial_pb2.StopRequest(port_id="laser", action=serial_pb2.STOP_ACTION_HOLD)
    for number in range(4000):
        audit.note(f"event {number}", who=f"somebody {number}", padding="x" * 900)
        if number % 500 == 0:
            await serial.Stop(stop, timeout=TIMEOUT_S)
    audit.note("the end", who="the end")
    found = lost = newest = 0
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            reply = await call.read()
            lost += reply.lost
            entries = [each for each in reply.entries if each.log == "serial-svc"]
            found += len(entries)
            newest = max([newest, *(each.number for each in entries)])
            if any(each.event == "the end" for each in entries):
                break
    assert lost > 0
    assert found + lost == newest - last
    call.cancel()


async def test_lines_of_the_audit_log_are_packed_beside_the_event_loop(
    host: GuardedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    make = administration_messages._audit_entry

    def noted(entry: dict[str, Any]) -> pb.AuditEntry:
        threads.add(threading.current_thread().name)
        return make(entry)

    monkeypatch.setattr(administration_messages, "_audit_entry", noted)
    host.guards["serial-svc"].audit.note("something", who="somebody")
    call = access(host, "boss").WatchAudit(pb.WatchAuditRequest())
    await next_entries(call, "something")
    call.cancel()
    assert threads
    assert threading.current_thread().name not in threads


async def test_every_service_lists_and_revokes_but_only_serial_svc_invites(
    host: GuardedHost,
) -> None:
    for service in ("camera", "discovery", "job"):
        stub = access(host, "boss", service)
        found = await stub.ListIdentities(pb.ListIdentitiesRequest(), timeout=TIMEOUT_S)
        assert "operator" in [each.name for each in found.identities]
        call = stub.Invite(pb.InviteRequest(name="x", role="viewer"), timeout=TIMEOUT_S)
        await refused(call, grpc.StatusCode.UNIMPLEMENTED)


async def test_reflection_shows_the_calls(host: GuardedHost) -> None:
    channel: Any = host.channel("serial", "stranger")
    stub: Any = ServerReflectionStub(channel)
    request = reflection.ServerReflectionRequest(
        file_containing_symbol="usbshare.access.v1.AccessService"
    )
    call = stub.ServerReflectionInfo()
    await call.write(request)
    answer = await asyncio.wait_for(call.read(), TIMEOUT_S)
    call.cancel()
    assert isinstance(answer, reflection.ServerReflectionResponse)
    found = answer.file_descriptor_response.file_descriptor_proto[0]
    assert all(each in found for each in (b"ListIdentities", b"Invite", b"WatchAudit"))


async def test_of_two_who_revoke_each_other_one_stays(host: GuardedHost) -> None:
    for name in ("boss", "other"):
        uri = f"usbshare://{host.site.id}/{name}"
        note_issued(registry_path(host.site.folder), uri, host.bundle(name).certificate)
    host.write_policy(POLICY.replace('"boss"', '"boss", "other"'))
    stubs = {"boss": access(host, "boss"), "other": access(host, "other", "camera")}
    for stub in stubs.values():
        await _until_administrator(stub)
    outcomes = await asyncio.gather(
        stubs["boss"].RevokeIdentity(pb.RevokeIdentityRequest(name="other"), timeout=TIMEOUT_S),
        stubs["other"].RevokeIdentity(pb.RevokeIdentityRequest(name="boss"), timeout=TIMEOUT_S),
        return_exceptions=True,
    )
    done = [each for each in outcomes if isinstance(each, pb.RevokeIdentityResponse)]
    known = read_identities(registry_path(host.site.folder)).values()
    assert len(done) == 1
    assert len([each for each in known if each.is_revoked]) == 1


async def _until_administrator(stub: Any) -> None:
    while True:
        with suppress(grpc.aio.AioRpcError):
            await stub.ListIdentities(pb.ListIdentitiesRequest(), timeout=TIMEOUT_S)
            return
        await asyncio.sleep(0.05)
