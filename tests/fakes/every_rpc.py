"""Every RPC of every service, each with how it is called and what it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import grpc

from fakes.guarded_host import GuardedHost
from usbshare.access.v1 import access_pb2 as access
from usbshare.access.v1.access_pb2_grpc import AccessServiceStub
from usbshare.authorization.rights import Right, implied
from usbshare.base.errors import DeviceError
from usbshare.camera.v1 import camera_pb2 as camera
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub
from usbshare.discovery.v1 import discovery_pb2 as discovery
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub
from usbshare.job.v1 import job_pb2 as job
from usbshare.job.v1.job_pb2_grpc import JobServiceStub
from usbshare.rpc.status import error_from_rpc
from usbshare.serial.v1 import serial_pb2 as serial
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub
from usbshare.trust.certificates import new_key
from usbshare.trust.signing_requests import new_request
from usbshare.usb.v1 import usb_pb2 as usb
from usbshare.usb.v1.usb_pb2_grpc import UsbServiceStub

TIMEOUT_S = 60.0
# What only a broken service answers.
_NEVER = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}

Stub = Callable[[grpc.aio.Channel], Any]
Request = Callable[[str], Any]
Ask = Callable[[grpc.aio.Channel, str], Awaitable[object]]


class RefusedInBandError(Exception):
    """A refusal that did not end its stream."""


@dataclass(frozen=True)
class Case:
    """One way to call an RPC; `needs` None: any identity may. `kind`: what it is about one of."""

    service: str
    method: str
    needs: Right | None
    ask: Ask
    kind: str = ""
    variant: str = ""
    also: Right | None = None  # what else it needs
    of_site: bool = False  # it needs the right on every port and camera

    @property
    def name(self) -> str:
        return f"{self.service}.{self.method}" + (f"-{self.variant}" if self.variant else "")

    def is_for(self, identity: str) -> bool:
        """Return whether the identity, called as its right, may with one port and one camera."""
        if self.of_site:
            return False
        held = implied(Right(identity)) if identity != "none" else frozenset[Right]()
        return {self.needs, self.also} - {None} <= held

    async def refusal(self, host: GuardedHost, identity: str, which: str = "") -> str:
        """Return why the call was refused; empty if it got past the gate, whatever came then."""
        try:
            await self.ask(host.channel(self.service, identity), which)
        except RefusedInBandError as error:
            return str(error)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NEVER and not isinstance(error_from_rpc(error), DeviceError):
                raise
            is_refusal = error.code() is grpc.StatusCode.PERMISSION_DENIED or (
                self.kind == "job" and error.code() is grpc.StatusCode.NOT_FOUND
            )
            return str(error.details()) if is_refusal else ""
        return ""


async def first_of(call: Any, *requests: Any) -> Any:
    """Say something on a stream and return its first answer; raises what it ends with."""
    try:
        with suppress(asyncio.InvalidStateError):  # the read says why
            for request in requests:
                await call.write(request)
        if (answer := await call.read()) is grpc.aio.EOF:
            raise AssertionError("the stream ended without an answer")
        return answer
    finally:
        call.cancel()


def session(mode: serial.SessionMode.ValueType) -> Request:
    """Return what opens a session on a port."""
    return lambda port: serial.SessionRequest(
        open=serial.Open(port_id=port, mode=mode, client_name="test")
    )


def watch(camera_id: str) -> camera.WatchRequest:
    """Return what opens a camera's stream."""
    return camera.WatchRequest(open=camera.Open(camera_id=camera_id))


def _unary(stub: Stub, method: str, request: Request) -> Ask:
    async def ask(channel: grpc.aio.Channel, which: str) -> object:
        return await getattr(stub(channel), method)(request(which), timeout=TIMEOUT_S)

    return ask


def _answers(stub: Stub, method: str, request: Request) -> Ask:
    async def ask(channel: grpc.aio.Channel, which: str) -> object:
        call = getattr(stub(channel), method)(request(which), timeout=TIMEOUT_S)
        return await first_of(call)

    return ask


def _talk(stub: Stub, method: str, request: Request) -> Ask:
    async def ask(channel: grpc.aio.Channel, which: str) -> object:
        return await first_of(getattr(stub(channel), method)(timeout=TIMEOUT_S), request(which))

    return ask


def _no_devices(_: str) -> usb.ListDevicesRequest:
    return usb.ListDevicesRequest()


def _watch_devices(_: str) -> usb.WatchDevicesRequest:
    return usb.WatchDevicesRequest()


def _open_device(device_id: str) -> usb.AttachRequest:
    return usb.AttachRequest(open=usb.OpenDevice(device_id=device_id, client_name="test"))


async def _change_controls(channel: grpc.aio.Channel, which: str) -> object:
    """Change a control within a stream; its refusal is reported in the stream."""
    call = CameraServiceStub(channel).Watch(timeout=TIMEOUT_S)
    changes = camera.ChangeControls(changes=[camera.ControlChange(name="exposure", value=100)])
    try:
        await call.write(watch(which))
        if await call.read() is not grpc.aio.EOF:
            await call.write(camera.WatchRequest(change_controls=changes))
        while isinstance(answer := await call.read(), camera.WatchResponse):
            if answer.HasField("controls"):
                _require_allowed(answer.controls.message)
                return answer
        raise AssertionError("the stream ended without an answer")
    finally:
        call.cancel()


def _require_allowed(message: str) -> None:
    if "lacks the right to" in message:
        raise RefusedInBandError(message)


def _access(
    method: str, request: Request, make: Callable[[Stub, str, Request], Ask] = _unary
) -> Case:
    return Case("serial", method, None, make(AccessServiceStub, method, request))


def _site(
    method: str, request: Request, make: Callable[[Stub, str, Request], Ask] = _unary
) -> Case:
    ask = make(AccessServiceStub, method, request)
    return Case("serial", method, Right.ADMIN, ask, of_site=True)


def _serial(
    method: str,
    needs: Right,
    request: Request,
    kind: str = "port",
    make: Callable[[Stub, str, Request], Ask] = _unary,
    variant: str = "",
) -> Case:
    return Case("serial", method, needs, make(SerialServiceStub, method, request), kind, variant)


def _stop(variant: str, needs: Right, action: serial.StopAction.ValueType) -> Case:
    def request(port: str) -> serial.StopRequest:
        return serial.StopRequest(port_id=port, action=action, epoch=1)

    return _serial("Stop", needs, request, variant=variant)


def _camera(
    method: str,
    needs: Right,
    request: Request,
    kind: str = "camera",
    make: Callable[[Stub, str, Request], Ask] = _unary,
) -> Case:
    return Case("camera", method, needs, make(CameraServiceStub, method, request), kind)


def _discovery(
    method: str,
    needs: Right,
    request: Request,
    make: Callable[[Stub, str, Request], Ask] = _unary,
) -> Case:
    return Case("discovery", method, needs, make(DiscoveryServiceStub, method, request))


def _job(
    method: str,
    needs: Right,
    request: Request,
    kind: str = "job",
    make: Callable[[Stub, str, Request], Ask] = _unary,
) -> Case:
    return Case("job", method, needs, make(JobServiceStub, method, request), kind)


def _upload(_: str) -> job.UploadRequest:
    return job.UploadRequest(begin=job.UploadBegin(name="x", size_bytes=1000, sha256=SHA256))


def _renewal(_: str) -> access.RenewRequest:
    return access.RenewRequest(certificate_request=new_request(new_key(), "x"))


def _realtime(data: bytes) -> Request:
    return lambda port: serial.SendRealtimeRequest(port_id=port, data=data)


SHA256 = bytes(32)
V, S, C, A = Right
OBSERVE, CONTROL = serial.SESSION_MODE_OBSERVE, serial.SESSION_MODE_CONTROL
TAKE = serial.SESSION_MODE_TAKE
CASES = [
    _access("WhoAmI", lambda _: access.WhoAmIRequest()),
    _access("Confirm", lambda _: access.ConfirmRequest(code="1")),
    _access("Renew", _renewal),
    _site("ListIdentities", lambda _: access.ListIdentitiesRequest()),
    _site("ListInvitations", lambda _: access.ListInvitationsRequest()),
    _site("Invite", lambda _: access.InviteRequest(name="x", role="viewer")),
    _site("WithdrawInvitation", lambda _: access.WithdrawInvitationRequest(name="x")),
    _site("RevokeIdentity", lambda _: access.RevokeIdentityRequest(name="x")),
    _site("WatchAudit", lambda _: access.WatchAuditRequest(), make=_answers),
    _serial("ListPorts", V, lambda _: serial.ListPortsRequest(), kind=""),
    _serial("WatchPorts", V, lambda _: serial.WatchPortsRequest(), kind="", make=_answers),
    _serial("GetPort", V, lambda port: serial.GetPortRequest(port_id=port)),
    _serial("Session", V, session(OBSERVE), make=_talk, variant="observe"),
    _serial("Session", C, session(CONTROL), make=_talk, variant="control"),
    _stop("emergency", S, serial.STOP_ACTION_EMERGENCY_STOP),
    _stop("door", S, serial.STOP_ACTION_SAFETY_DOOR),
    _stop("hold", S, serial.STOP_ACTION_HOLD),
    _stop("resume", C, serial.STOP_ACTION_RESUME),
    _serial("Rearm", C, lambda port: serial.RearmRequest(port_id=port, epoch=1)),
    replace(_serial("Session", A, session(TAKE), make=_talk, variant="take"), also=C),
    _serial("Reset", C, lambda port: serial.ResetRequest(port_id=port)),
    _serial("RequestControl", C, lambda port: serial.RequestControlRequest(port_id=port)),
    _serial("SendRealtime", S, _realtime(b"!"), variant="hold"),
    _serial("SendRealtime", S, _realtime(b"\x18!"), variant="reset"),
    _serial("SendRealtime", C, _realtime(b"~"), variant="resume"),
    _serial("SendRealtime", C, _realtime(b"!~"), variant="hold and resume"),
    _serial("SendRealtime", C, _realtime(b"?"), variant="poll"),
    _serial("SendRealtime", C, _realtime(b"G"), variant="none"),
    _serial("WatchStats", V, lambda port: serial.WatchStatsRequest(port_id=port), make=_answers),
    _serial(
        "WatchMachine", V, lambda port: serial.WatchMachineRequest(port_id=port), make=_answers
    ),
    _camera("ListCameras", V, lambda _: camera.ListCamerasRequest(), kind=""),
    _camera("Watch", V, watch, make=_talk),
    Case("camera", "Watch", C, _change_controls, "camera", "change_controls"),
    _camera("Snapshot", V, lambda each: camera.SnapshotRequest(camera_id=each)),
    _camera("GetControls", V, lambda each: camera.GetControlsRequest(camera_id=each)),
    _camera("SetControls", C, lambda each: camera.SetControlsRequest(camera_id=each)),
    _camera("WatchStats", V, lambda each: camera.WatchStatsRequest(camera_id=each), make=_answers),
    _discovery("ListInstances", V, lambda _: discovery.ListInstancesRequest()),
    _discovery("Watch", V, lambda _: discovery.WatchRequest(), make=_talk),
    Case("usb", "ListDevices", V, _unary(UsbServiceStub, "ListDevices", _no_devices)),
    Case("usb", "WatchDevices", V, _answers(UsbServiceStub, "WatchDevices", _watch_devices)),
    Case("usb", "Attach", C, _talk(UsbServiceStub, "Attach", _open_device), "device"),
    _discovery("Announce", C, lambda _: discovery.AnnounceRequest(), make=_talk),
    _discovery("GetStats", V, lambda _: discovery.GetStatsRequest()),
    _discovery("ResetStats", A, lambda _: discovery.ResetStatsRequest()),
    _job("Upload", C, _upload, kind="", make=_talk),
    _job("Analyse", V, lambda p: job.AnalyseRequest(port_id=p, sha256=SHA256), "port", _answers),
    _job(
        "GetPreview", V, lambda p: job.GetPreviewRequest(port_id=p, sha256=SHA256), "port", _answers
    ),
    _job("Enqueue", C, lambda p: job.EnqueueRequest(port_id=p, sha256=SHA256), "port"),
    _job("ListJobs", V, lambda port: job.ListJobsRequest(port_id=port), "port"),
    _job("WatchJobs", V, lambda port: job.WatchJobsRequest(port_id=port), "port", _answers),
    _job("ListHistory", V, lambda port: job.ListHistoryRequest(port_id=port), "port"),
    _job("Start", C, lambda each: job.StartRequest(job_id=int(each))),
    _job("Hold", S, lambda each: job.HoldRequest(job_id=int(each))),
    _job("Resume", C, lambda each: job.ResumeRequest(job_id=int(each), hold_number=1)),
    _job("HandOver", C, lambda each: job.HandOverRequest(job_id=int(each))),
    _job("Cancel", S, lambda each: job.CancelRequest(job_id=int(each))),
    _job("Reorder", C, lambda each: job.ReorderRequest(job_id=int(each), place=1)),
    _job("GetJob", V, lambda each: job.GetJobRequest(job_id=int(each))),
    _job("DeleteJob", C, lambda each: job.DeleteJobRequest(job_id=int(each))),
]
