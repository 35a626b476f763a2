"""Real-time bytes: what stops is always possible, what moves a machine takes what control takes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pyotp
import pytest

from fakes.every_rpc import CONTROL, OBSERVE, TIMEOUT_S, first_of, session
from fakes.guarded_host import GuardedHost, guarded_host
from fakes.waiting import until
from usbshare.access.v1 import access_pb2 as access
from usbshare.access.v1.access_pb2_grpc import AccessServiceStub
from usbshare.authorization.second_factor import SecondFactors
from usbshare.serial.v1 import serial_pb2 as serial
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub

if TYPE_CHECKING:  # only the type stubs know it
    from usbshare.serial.v1.serial_pb2_grpc import SerialServiceAsyncStub

needs_a_full_disk = pytest.mark.skipif(
    not Path("/dev/full").exists() or sys.platform != "linux", reason="there is no /dev/full"
)
POLICY = """
audit = "required"
[[grants]]
who = ["viewer"]
rights = ["view"]
[[grants]]
who = ["plain", "other"]
rights = ["control"]
[[grants]]
who = ["careful"]
rights = ["control"]
confirm = "totp"
"""


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[GuardedHost]:
    async with guarded_host(tmp_path, POLICY) as running:
        yield running


def stub_of(host: GuardedHost, name: str) -> SerialServiceAsyncStub:
    return SerialServiceStub(host.channel("serial", name))


async def send(host: GuardedHost, name: str, data: bytes, session_id: str = "") -> str:
    """Send real-time bytes; return why not, empty if they went out."""
    request = serial.SendRealtimeRequest(port_id="laser", data=data, session_id=session_id)
    try:
        await stub_of(host, name).SendRealtime(request, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        return str(error.details())
    return ""


async def begin(host: GuardedHost, name: str) -> tuple[Any, serial.Opened]:
    """Begin a session in control and return its stream."""
    call: Any = stub_of(host, name).Session()
    await call.write(session(CONTROL)("laser"))
    return call, (await call.read()).opened


async def resume(
    host: GuardedHost, name: str, opened: serial.Opened, offset: int
) -> serial.SessionResponse:
    again = session(CONTROL)("laser")
    again.open.resume_token, again.open.resume_offset = opened.resume_token, offset
    found = await first_of(stub_of(host, name).Session(), again)
    assert isinstance(found, serial.SessionResponse)
    return found


async def fill_the_disk(host: GuardedHost) -> None:
    """Let the audit log of the serial service meet a full disk."""
    log = host.site.folder / "state" / "audit" / "serial-svc.jsonl"
    audit = host.guards["serial-svc"].audit
    await until(log.exists)
    full = log.with_name("full")
    full.symlink_to("/dev/full")
    os.replace(full, log)
    audit.note("the disk is full")
    await until(lambda: audit.trouble != "")


async def second_factor(host: GuardedHost, name: str) -> pyotp.TOTP:
    """Make a second factor, and return its app once the service knows of it."""
    identity = f"usbshare://{host.site.id}/{name}"
    factors = SecondFactors(host.site.home / "totp.json", time.monotonic)
    app = pyotp.parse_uri(factors.make(identity))
    assert isinstance(app, pyotp.TOTP)
    known = host.guards["serial-svc"].gate._second_factors
    await until(lambda: identity in (known._made or ()))
    return app


async def confirm(host: GuardedHost, name: str, app: pyotp.TOTP | None = None) -> None:
    app = app or await second_factor(host, name)
    stub = AccessServiceStub(host.channel("serial", name))
    await stub.Confirm(access.ConfirmRequest(code=app.now()), timeout=TIMEOUT_S)


def forget_code(host: GuardedHost, name: str) -> None:
    host.guards["serial-svc"].gate._second_factors.forget(f"usbshare://{host.site.id}/{name}")


@needs_a_full_disk
@pytest.mark.parametrize("name", ["viewer", "plain", "careful"])
async def test_bytes_that_stop_go_out_though_the_disk_is_full_and_no_code_was_given(
    host: GuardedHost, name: str
) -> None:
    await fill_the_disk(host)
    for data in (b"!", b"\x18", b"\x84!", b"\x85"):
        assert await send(host, name, data) == ""


@needs_a_full_disk
async def test_bytes_that_move_a_machine_need_the_audit_log(host: GuardedHost) -> None:
    assert await send(host, "plain", b"~") == ""
    await fill_the_disk(host)
    for data in (b"~", b"!~"):
        assert "while the audit log cannot be written" in await send(host, "plain", data)


async def test_bytes_that_move_a_machine_need_a_code(host: GuardedHost) -> None:
    app = await second_factor(host, "careful")
    assert "needs a code from its authenticator" in await send(host, "careful", b"~")
    await confirm(host, "careful", app)
    assert await send(host, "careful", b"~") == ""


@needs_a_full_disk
async def test_the_session_in_control_needs_no_more_for_its_own_bytes(host: GuardedHost) -> None:
    await confirm(host, "careful")
    call, opened = await begin(host, "careful")
    forget_code(host, "careful")
    await fill_the_disk(host)
    assert await send(host, "careful", b"~", opened.session_id) == ""
    assert "audit log" in await send(host, "careful", b"~")
    call.cancel()


async def test_naming_a_session_that_is_not_its_own_in_control_gains_nothing(
    host: GuardedHost,
) -> None:
    await second_factor(host, "careful")
    _, opened = await begin(host, "plain")
    seen: Any = stub_of(host, "careful").Session()
    await seen.write(session(OBSERVE)("laser"))
    observed = (await seen.read()).opened
    for session_id in (opened.session_id, observed.session_id, "guessed"):
        assert "needs a code" in await send(host, "careful", b"~", session_id)
    assert "lacks the right to control" in await send(host, "viewer", b"~", opened.session_id)
    seen.cancel()


async def test_a_client_that_lost_control_rights_sends_nothing_for_its_session(
    host: GuardedHost,
) -> None:
    _, opened = await begin(host, "plain")
    before = host.guards["serial-svc"].rulebook.policy
    host.write_policy(POLICY.replace('"plain", ', "").replace('"viewer"', '"viewer", "plain"'))
    await until(lambda: host.guards["serial-svc"].rulebook.policy is not before)
    assert "may not control" in await send(host, "plain", b"~", opened.session_id)


@needs_a_full_disk
async def test_a_session_is_taken_up_again_though_the_disk_is_full(host: GuardedHost) -> None:
    call, opened = await begin(host, "plain")
    await fill_the_disk(host)
    call.cancel()
    assert (await resume(host, "plain", opened, opened.data_offset)).opened.resumed
    with pytest.raises(grpc.aio.AioRpcError, match="audit log cannot be written"):
        await first_of(stub_of(host, "other").Session(), session(CONTROL)("laser"))


async def test_a_session_that_cannot_be_resumed_needs_a_code_to_begin_anew(
    host: GuardedHost,
) -> None:
    await confirm(host, "careful")
    call, opened = await begin(host, "careful")
    forget_code(host, "careful")
    call.cancel()
    with pytest.raises(grpc.aio.AioRpcError, match="needs a code"):
        await resume(host, "careful", opened, 2**40)
    assert (await resume(host, "careful", opened, opened.data_offset)).opened.resumed
