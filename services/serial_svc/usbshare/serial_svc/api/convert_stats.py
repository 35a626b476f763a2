"""Counters, times and queues as messages of serial.proto."""

from __future__ import annotations

from usbshare.rpc.wire_time import duration
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.line.counters import TimeStats
from usbshare.serial_svc.line.scheduler import Band
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions.events import QueueState

_BANDS = {
    Band.NORMAL: pb.QUEUE_BAND_NORMAL,
    Band.HIGH: pb.QUEUE_BAND_HIGH,
    Band.OVERLOAD: pb.QUEUE_BAND_OVERLOAD,
}


def stats_message(port: SerialPort) -> pb.PortStats:
    """Return a port's counters now."""
    counters = port.line.counters
    return pb.PortStats(
        port_id=port.id,
        sessions=len(port.roster),
        written_bytes=counters.written_bytes,
        read_bytes=counters.read_bytes,
        written_commands=counters.written_commands,
        read_chunks=counters.read_chunks,
        queue=queue_message(port.queue_state()),
        max_queue_commands=counters.max_queue_commands,
        queue_time=_times(counters.queue_time),
        write_time=_times(counters.write_time),
        failed_commands=counters.failed_commands,
        device_errors=counters.device_errors,
        stops=counters.stops,
        stop_write_time=_times(counters.stop_write_time),
        lost_sessions=counters.lost_sessions,
        link_loss_actions=counters.link_loss_actions,
    )


def _times(times: TimeStats) -> pb.TimeStats:
    return pb.TimeStats(
        count=times.count,
        min=duration(times.min_s),
        mean=duration(times.mean_s),
        max=duration(times.max_s),
    )


def queue_message(state: QueueState) -> pb.QueueState:
    """Return how full a queue is."""
    return pb.QueueState(
        commands=state.commands,
        queued_bytes=state.queued_bytes,
        band=_BANDS[state.band],
        oldest_age=duration(state.oldest_age_s),
    )
