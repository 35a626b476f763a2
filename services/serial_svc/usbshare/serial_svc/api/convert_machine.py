"""What a machine reports of itself as messages of serial.proto."""

from __future__ import annotations

from usbshare.line.machine_report import MachineReport
from usbshare.rpc.wire_time import duration, optional_duration
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.api.convert_stats import queue_message
from usbshare.serial_svc.ports.machine_watch import MachineView
from usbshare.serial_svc.ports.port import SerialPort


def machine_message(port: SerialPort) -> pb.WatchMachineResponse:
    """Return what is known of a port's machine now."""
    view = port.machine.view()
    return pb.WatchMachineResponse(
        report=None if view.report is None else _report(view.report, view),
        queue=queue_message(view.queue),
        holder_round_trip=optional_duration(view.holder_round_trip_s),
    )


def _report(report: MachineReport, view: MachineView) -> pb.MachineReport:
    told = report.overrides
    return pb.MachineReport(
        age=duration(view.age_s),
        state=report.state,
        substate=report.substate,
        machine_position=report.machine_position,
        work_position=report.work_position,
        work_offset=report.work_offset,
        feed=report.feed,
        spindle=report.spindle,
        overrides=None
        if told is None
        else pb.Overrides(
            feed_percent=told.feed, rapids_percent=told.rapids, spindle_percent=told.spindle
        ),
        free_blocks=report.free_blocks,
        free_bytes=report.free_bytes,
        pins=report.pins,
        accessories=report.accessories,
        line=report.line,
        text=report.text,
    )
