"""How long a stream outlives the right that it was opened with.

A control session of serial-svc and a viewer of camera-svc, both of one identity, over real
connections. Each round takes the right away, by a change of `policy.toml` or by a revocation, and
measures until both clients know of the end.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from usbshare.rpc.grpc_environment import prepare_grpc

prepare_grpc()

import grpc  # noqa: E402

from bench.camera import OURS, start_cameras  # noqa: E402
from bench.ours import PortTable, start_service  # noqa: E402
from bench.report import quantile, result, table  # noqa: E402
from bench.stage import BenchError, Stage  # noqa: E402
from usbshare.base.event_loop import run  # noqa: E402
from usbshare.base.paths import rewrite, write_private  # noqa: E402
from usbshare.camera.v1 import camera_pb2 as camera  # noqa: E402
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub  # noqa: E402
from usbshare.rpc.channel import open_channel, parse_target  # noqa: E402
from usbshare.rpc.tls import ClientBundle  # noqa: E402
from usbshare.serial.v1 import serial_pb2 as serial  # noqa: E402
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub  # noqa: E402
from usbshare.trust import certificates, identities  # noqa: E402
from usbshare.trust.issuance import admit  # noqa: E402
from usbshare.trust.names import identity_uri  # noqa: E402
from usbshare.trust.signing_requests import new_request  # noqa: E402
from usbshare.trust.site import Site  # noqa: E402

ROUNDS = 15
TIMEOUT_S = 20.0
NAME = "guest"
WITH = '[groups]\nadmins = ["operator"]\noperators = ["guest"]\n'
WITHOUT = '[groups]\nadmins = ["operator"]\n'
SESSION = serial.SessionRequest(open=serial.Open(port_id="laser", mode=serial.SESSION_MODE_CONTROL))
VIEW = camera.WatchRequest(open=camera.Open(camera_id=OURS, view=camera.View()))
LIST_PORTS, LIST_CAMERAS = serial.ListPortsRequest(), camera.ListCamerasRequest()
POLICY, REVOCATION = "policy change", "revocation"


def main() -> None:
    """Measure and print."""
    found: dict[str, list[float]] = {POLICY: [], REVOCATION: []}
    with Stage() as stage:
        service = start_service(stage, {"laser": PortTable("sim://grbl", "grbl")})
        cameras = start_cameras(stage)
        host = _Host(service.folder, service.target, cameras.target)
        run(_play(host, found))
    _print(found)


async def _play(host: _Host, found: dict[str, list[float]]) -> None:
    for _ in range(ROUNDS):
        for way in random.sample(list(found), len(found)):
            found[way].append(await host.measure(way))


class _Host:
    """The host whose policy is changed, and its guest."""

    def __init__(self, folder: Path, serial_target: str, camera_target: str) -> None:
        self._folder = folder
        self._targets = (serial_target, camera_target)
        self._site = Site(folder, "", known_id=(folder / "site/id").read_text().strip())

    async def measure(self, way: str) -> float:
        """Return for how long both streams go on after the right is gone, in seconds."""
        self._write_policy(WITH)
        bundle = self._let_in()
        take_away = self._revoke if way == REVOCATION else lambda: self._write_policy(WITHOUT)
        async with asyncio.timeout(TIMEOUT_S):
            channels = [open_channel(parse_target(each), bundle) for each in self._targets]
            ports, cameras = SerialServiceStub(channels[0]), CameraServiceStub(channels[1])
            calls = [
                await _begun(lambda: ports.ListPorts(LIST_PORTS), ports.Session, SESSION),
                await _begun(lambda: cameras.ListCameras(LIST_CAMERAS), cameras.Watch, VIEW),
            ]
            start = time.monotonic()
            take_away()
            await asyncio.gather(*map(_until_refused, calls))
            took_s = time.monotonic() - start
            await asyncio.gather(*(each.close() for each in channels))
        return took_s

    def _write_policy(self, text: str) -> None:
        rewrite(self._folder / "policy.toml", text.encode())

    def _revoke(self) -> None:
        path = identities.registry_path(self._folder)
        identities.revoke(path, identity_uri(self._site.id, NAME), "", datetime.now(UTC))

    def _let_in(self) -> ClientBundle:
        path, now, key = self._folder / "guest.pem", datetime.now(UTC), certificates.new_key()
        uri = identity_uri(self._site.id, NAME)
        issued = admit(self._site, uri, new_request(key, NAME), now)
        identities.note_issued(identities.registry_path(self._folder), uri, issued)
        own = certificates.key_pem(key) + certificates.certificate_pem(issued)
        write_private(path, own + self._site.ca_certificate.read_bytes())
        return ClientBundle.load(path)


async def _begun(ask: Any, opened: Any, opening: Any) -> Any:
    """Open a stream, once the service knows that it may be."""
    while True:
        if await _code(ask()) is not grpc.StatusCode.PERMISSION_DENIED:
            break
        await asyncio.sleep(0.05)
    call = opened()
    await call.write(opening)
    if await call.read() is grpc.aio.EOF:
        raise BenchError(f"a stream was refused: {await call.details()}")
    return call


async def _code(call: Any) -> grpc.StatusCode:
    with suppress(grpc.aio.AioRpcError):
        await call
    code: grpc.StatusCode = await call.code()
    return code


async def _until_refused(call: Any) -> None:
    with suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
    if await call.code() is not grpc.StatusCode.PERMISSION_DENIED:
        raise BenchError(f"a stream ended otherwise: {await call.details()}")


def _print(found: dict[str, list[float]]) -> None:
    print("until a control session and a camera stream of the identity have ended, seconds")
    rows = [(way, quantile(all_, 0.5), max(all_)) for way, all_ in found.items()]
    table(("way", "median", "most"), rows)
    for key, way in (("policy_change", POLICY), ("revocation", REVOCATION)):
        result(f"{key}_p50", quantile(found[way], 0.5), "s")
        result(f"{key}_max", max(found[way]), "s")
