"""Distributions of times as messages of serial.proto; clients and the service use the same."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from usbshare.base.time_stats import TimeSummary
from usbshare.client.serial.host_times import HostTimes, PortTimes
from usbshare.line.client_times import ClientTimes
from usbshare.rpc.wire_time import duration
from usbshare.serial.v1 import serial_pb2 as pb

LONGEST_S = 3600.0


def times_message(times: TimeSummary) -> pb.TimeStats:
    """Return a distribution."""
    return pb.TimeStats(
        count=times.count,
        min=duration(times.min_s),
        mean=duration(times.mean_s),
        max=duration(times.max_s),
        p50=duration(times.p50_s),
        p95=duration(times.p95_s),
        p99=duration(times.p99_s),
        recent_count=times.recent_count,
        last=duration(times.last_s),
    )


def client_times_message(times: ClientTimes) -> pb.ClientTimes:
    """Return what a client measures."""
    message = pb.ClientTimes()
    for field, found in (
        (message.wake_time, times.wake),
        (message.queue_time, times.queue),
        (message.network_time, times.network),
    ):
        if found is not None:
            field.CopyFrom(times_message(found))
    return message


def client_times(message: pb.ClientTimes) -> ClientTimes:
    """Return what a client reports."""
    return ClientTimes(
        time_summary(message.wake_time) if message.HasField("wake_time") else None,
        time_summary(message.queue_time) if message.HasField("queue_time") else None,
        time_summary(message.network_time) if message.HasField("network_time") else None,
    )


def time_summary(message: pb.TimeStats) -> TimeSummary:
    """Return a distribution that the other side reports; what cannot be is cut to what can."""
    return TimeSummary(
        count=message.count,
        min_s=seconds(message.min),
        mean_s=seconds(message.mean),
        max_s=seconds(message.max),
        p50_s=seconds(message.p50),
        p95_s=seconds(message.p95),
        p99_s=seconds(message.p99),
        recent_count=message.recent_count,
        last_s=seconds(message.last),
    )


def host_times(response: pb.WatchStatsResponse) -> HostTimes:
    """Return what a service measures."""
    wake = time_summary(response.wake_time) if response.HasField("wake_time") else None
    return HostTimes(tuple(map(_port_times, response.ports)), wake)


def _port_times(stats: pb.PortStats) -> PortTimes:
    return PortTimes(
        port_id=stats.port_id,
        queue=time_summary(stats.queue_time),
        write=time_summary(stats.write_time),
        drain=time_summary(stats.drain_time),
        answer=time_summary(stats.answer_time),
        send=time_summary(stats.send_time),
        holder=client_times(stats.holder_times) if stats.HasField("holder_times") else None,
    )


def seconds(message: Duration) -> float:
    """Return seconds, 0 to an hour."""
    return min(max(0.0, message.seconds + message.nanos * 1e-9), LONGEST_S)
