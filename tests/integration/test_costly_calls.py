"""What a caller can make a service do in vain is bounded: refusals, renewals, its log."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.every_rpc import TIMEOUT_S
from fakes.guarded_host import GuardedHost, guarded_host
from fakes.waiting import until
from usbshare.access.v1 import access_pb2 as access
from usbshare.access.v1.access_pb2_grpc import AccessServiceStub
from usbshare.authorization.api.servicer import RENEWALS_A_MINUTE
from usbshare.serial.v1 import serial_pb2 as serial
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub
from usbshare.trust.certificates import new_key
from usbshare.trust.identities import registry_path, revoke
from usbshare.trust.signing_requests import new_request

POLICY = """
[[grants]]
who = ["pc"]
rights = ["view"]
[limits]
requests_per_s = 4
"""
DENIED, EXHAUSTED = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[GuardedHost]:
    async with guarded_host(tmp_path, POLICY) as running:
        yield running


async def code_of(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def noted(host: GuardedHost, event: str) -> list[dict[str, Any]]:
    log = host.site.folder / "state" / "audit" / "serial-svc.jsonl"
    if not log.exists():
        return []
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return [entry for entry in map(json.loads, lines) if entry["event"] == event]


async def test_a_revoked_identity_over_its_rate_is_refused_late(host: GuardedHost) -> None:
    uri = f"usbshare://{host.site.id}/pc"
    channel = host.channel("serial", "pc")
    await AccessServiceStub(channel).WhoAmI(access.WhoAmIRequest(), timeout=TIMEOUT_S)
    revoke(registry_path(host.site.folder), uri, "sold", datetime.now(UTC))
    await until(lambda: host.guards["serial-svc"].rulebook.is_revoked(uri, None))
    stub = AccessServiceStub(channel)
    asked = [stub.WhoAmI(access.WhoAmIRequest(), timeout=TIMEOUT_S) for _ in range(40)]
    assert set(await asyncio.gather(*map(code_of, asked))) == {DENIED, EXHAUSTED}
    stop = serial.StopRequest(port_id="laser", action=serial.STOP_ACTION_HOLD)
    assert await code_of(SerialServiceStub(channel).Stop(stop, timeout=TIMEOUT_S)) is DENIED


async def test_only_so_many_renewals_are_asked_for_by_one_in_a_minute(
    host: GuardedHost,
) -> None:
    async def renew(name: str) -> grpc.StatusCode:
        stub = AccessServiceStub(host.channel("serial", name))
        request = access.RenewRequest(certificate_request=new_request(new_key(), name))
        return await code_of(stub.Renew(request, timeout=TIMEOUT_S))

    codes = [await renew("pc") for _ in range(RENEWALS_A_MINUTE + 1)]
    assert codes == [DENIED] * RENEWALS_A_MINUTE + [EXHAUSTED]  # they are not due
    assert await renew("other") is DENIED


async def test_an_id_that_is_made_up_fills_no_log(host: GuardedHost) -> None:
    stub = SerialServiceStub(host.channel("serial", "pc"))
    made_up = "x\nemergency stop" + "y" * 100_000
    code = await code_of(
        stub.Rearm(serial.RearmRequest(port_id=made_up, epoch=1), timeout=TIMEOUT_S)
    )
    assert code is DENIED
    await until(lambda: noted(host, "refused") != [])
    entry = noted(host, "refused")[0]
    assert len(entry["port"]) == 64
    assert len(json.dumps(entry)) < 1000


async def test_the_audit_log_says_which_policy_was_in_force(host: GuardedHost) -> None:
    await until(lambda: noted(host, "service started") != [])
    digest = hashlib.sha256((host.site.folder / "policy.toml").read_bytes()).hexdigest()
    assert noted(host, "service started")[0]["policy_sha256"] == digest
