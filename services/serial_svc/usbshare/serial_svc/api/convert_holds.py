"""What holds or latches a port, and what a person saw of it, as messages of serial.proto."""

from __future__ import annotations

from usbshare.base.errors import InvalidArgumentError
from usbshare.rpc.wire_time import duration, timestamp
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.line.latch import LatchCause, LatchRecord
from usbshare.serial_svc.stop.hold import Hold, HoldCause, SeenHold

_HOLDS = {
    HoldCause.LINK_LOSS: (pb.HOLD_CAUSE_LINK_LOSS, pb.RELEASE_RESUME),
    HoldCause.WAITING: (pb.HOLD_CAUSE_WAITING, pb.RELEASE_RESUME),
    HoldCause.STOP: (pb.HOLD_CAUSE_STOP, pb.RELEASE_RESUME),
    HoldCause.PROGRAM: (pb.HOLD_CAUSE_PROGRAM, pb.RELEASE_RESUME),
    HoldCause.MACHINE: (pb.HOLD_CAUSE_MACHINE, pb.RELEASE_MACHINE),
    HoldCause.LINE_ERROR: (pb.HOLD_CAUSE_LINE_ERROR, pb.RELEASE_RESUME),
    HoldCause.ALARM: (pb.HOLD_CAUSE_ALARM, pb.RELEASE_MACHINE),
}
_LATCH_CAUSES = {
    LatchCause.EMERGENCY_STOP: pb.LATCH_CAUSE_EMERGENCY_STOP,
    LatchCause.JOB_LOST: pb.LATCH_CAUSE_JOB_LOST,
}


def hold_message(hold: Hold) -> pb.Hold:
    """Return a hold."""
    cause, release = _HOLDS[hold.cause]
    age_s = hold.waiting_age_s
    return pb.Hold(
        cause=cause,
        who=hold.who,
        begin_time=timestamp(hold.since),
        release=release,
        waiting_bytes=hold.waiting_bytes,
        waiting_age=None if age_s is None else duration(age_s),
        reason=hold.reason,
    )


def latch_message(record: LatchRecord) -> pb.Latch:
    """Return a latch."""
    is_stop = record.cause is LatchCause.EMERGENCY_STOP
    return pb.Latch(
        cause=_LATCH_CAUSES[record.cause],
        who=record.who,
        begin_time=timestamp(record.at),
        release=pb.RELEASE_REARM if is_stop else pb.RELEASE_REARM_OR_RESET,
        reason=record.why,
        epoch=record.epoch,
    )


def seen_epoch(message: pb.RearmRequest) -> int:
    """Return the epoch that the caller has seen; raises InvalidArgumentError when it is missing."""
    if not message.epoch:
        raise InvalidArgumentError(
            "epoch is missing: a re-arm must name the epoch of the stop that you saw "
            "(Port.epoch); a client that sends none is older than this service and must be "
            "updated"
        )
    return message.epoch


def seen_hold(message: pb.StopRequest) -> SeenHold | None:
    """Return what the caller of a resume has seen, None for another action.

    Raises InvalidArgumentError when it is missing.
    """
    if message.action != pb.STOP_ACTION_RESUME:
        return None
    if not message.epoch:
        raise InvalidArgumentError(
            "epoch is missing: a resume must name the epoch and the hold that you saw "
            "(Port.epoch, Port.hold_number); a client that sends none is older than this "
            "service and must be updated"
        )
    return SeenHold(message.epoch, message.hold_number)
