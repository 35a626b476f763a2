"""Counters, times and queues as messages of serial.proto."""

from __future__ import annotations

from usbshare.base.time_stats import TimeStats
from usbshare.client.serial.convert_times import client_times_message, times_message
from usbshare.rpc.wire_time import duration
from usbshare.serial.v1 import serial_pb2 as pb
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

    def times(stats: TimeStats) -> pb.TimeStats:
        return times_message(port.line.summary(stats))

    message = pb.PortStats(
        port_id=port.id,
        sessions=len(port.roster),
        written_bytes=counters.written_bytes,
        read_bytes=counters.read_bytes,
        written_commands=counters.written_commands,
        read_chunks=counters.read_chunks,
        queue=queue_message(port.queue_state()),
        max_queue_commands=counters.max_queue_commands,
        queue_time=times(counters.queue_time),
        write_time=times(counters.write_time),
        failed_commands=counters.failed_commands,
        device_errors=counters.device_errors,
        stops=counters.stops,
        stop_write_time=times(counters.stop_write_time),
        lost_sessions=counters.lost_sessions,
        link_loss_actions=counters.link_loss_actions,
        drain_time=times(counters.drain_time),
        answer_time=times(counters.answer_time),
        send_time=times(counters.send_time),
    )
    if port.roster.control is not None and (found := port.roster.control.client_times) is not None:
        message.holder_times.CopyFrom(client_times_message(found))
    return message


def queue_message(state: QueueState) -> pb.QueueState:
    """Return how full a queue is."""
    return pb.QueueState(
        commands=state.commands,
        queued_bytes=state.queued_bytes,
        band=_BANDS[state.band],
        oldest_age=duration(state.oldest_age_s),
    )
