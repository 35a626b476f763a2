"""What a machine reports, from the messages of serial.proto."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from usbshare.client.serial.machine import MachineStatus
from usbshare.line.machine_report import MachineReport, Overrides
from usbshare.rpc.wire_time import duration
from usbshare.serial.v1 import serial_pb2 as pb

_BANDS = {
    pb.QUEUE_BAND_NORMAL: "normal",
    pb.QUEUE_BAND_HIGH: "high",
    pb.QUEUE_BAND_OVERLOAD: "overload",
}


def watch_request(port_id: str, interval_s: float) -> pb.WatchMachineRequest:
    """Return what asks for a machine."""
    return pb.WatchMachineRequest(port_id=port_id, interval=duration(interval_s))


def machine_status(response: pb.WatchMachineResponse) -> MachineStatus:
    """Return what the service said of a machine."""
    has_report, queue = response.HasField("report"), response.queue
    told = response.HasField("holder_round_trip")
    return MachineStatus(
        report=_report(response.report) if has_report else None,
        report_age_s=_seconds(response.report.age),
        queued_commands=queue.commands,
        queued_bytes=queue.queued_bytes,
        queue_band=_BANDS.get(queue.band, "unknown"),
        holder_round_trip_s=_seconds(response.holder_round_trip) if told else None,
    )


def _report(report: pb.MachineReport) -> MachineReport:
    has, told = report.HasField, report.overrides
    percents = (told.feed_percent, told.rapids_percent, told.spindle_percent)
    return MachineReport(
        state=report.state,
        substate=report.substate if has("substate") else None,
        machine_position=tuple(report.machine_position),
        work_position=tuple(report.work_position),
        work_offset=tuple(report.work_offset),
        feed=report.feed if has("feed") else None,
        spindle=report.spindle if has("spindle") else None,
        overrides=Overrides(*percents) if has("overrides") else None,
        free_blocks=report.free_blocks if has("free_blocks") else None,
        free_bytes=report.free_bytes if has("free_bytes") else None,
        pins=report.pins,
        accessories=report.accessories if has("accessories") else None,
        line=report.line if has("line") else None,
        text=report.text,
    )


def _seconds(message: Duration) -> float:
    return message.seconds + message.nanos * 1e-9
