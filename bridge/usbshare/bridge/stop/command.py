"""Stops a machine from the command line and says what that did."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Protocol

from usbshare.base.errors import NotSupportedError, UsbshareError
from usbshare.bridge.stop.result import Done
from usbshare.client.serial.stop_report import SeenHold, StopReport
from usbshare.line.stop_actions import StopAction
from usbshare.rpc.channel import Target

if TYPE_CHECKING:
    from usbshare.client.serial.messages import RemotePort

NAME_TIMEOUT_S = 1.0
NOTHING_SENT = "SENT NOTHING, because the port's profile has no bytes for it"


class StopCalls(Protocol):
    """What a stop needs of a connection to a service."""

    target: Target

    async def stop(self, port_id: str, action: StopAction, reason: str = "") -> StopReport:
        """Stop the machine."""
        ...

    async def only_port(self, timeout_s: float) -> str:
        """Return the id of the service's port, empty where it has another number of them."""
        ...


class StopClient(StopCalls, Protocol):
    """What re-arming and resuming need of a connection to a service."""

    async def stop(
        self, port_id: str, action: StopAction, reason: str = "", *, seen: SeenHold | None = None
    ) -> StopReport:
        """Stop the machine, or resume what was seen to be held."""
        ...

    async def rearm(self, port_id: str, epoch: int) -> int:
        """Release the latch of the stop that was seen, in that epoch."""
        ...

    async def get_port(self, port_id: str) -> RemotePort:
        """Return one port; an empty id means the only one there is."""
        ...


async def stop(client: StopCalls, port_id: str, action: StopAction, reason: str) -> Done:
    """Stop the machine and return what that did; for a resume see `resume`.

    Raises UsbshareError where it is not confirmed, also where the service had nothing to send.
    """
    return await outcome(client, port_id, action, await client.stop(port_id, action, reason))


async def outcome(client: StopCalls, port_id: str, action: StopAction, report: StopReport) -> Done:
    """Return what a stop did; raises NotSupportedError where the service had nothing to send."""
    told = await _port_of(client, port_id)
    done = _done(client, port_id, told, action, report)
    if not report.sent:
        raise NotSupportedError(done.text)
    return done


async def resume(client: StopClient, port_id: str, reason: str, seen: SeenHold | None) -> Done:
    """Let go on what is held and return what that did; raises UsbshareError.

    `seen` is the last hold that the person knows of; None: whichever there is now. Without bytes
    it has let go on what waited.
    """
    told = port_id
    if seen is None:
        port = await client.get_port(port_id)
        told, seen = port.id, SeenHold(port.epoch, port.hold_number)
    report = await client.stop(told, StopAction.RESUME, reason, seen=seen)
    told = told or await _port_of(client, port_id)
    return _done(client, port_id, told, StopAction.RESUME, report)


async def rearm(client: StopClient, port_id: str, seen_epoch: int | None) -> Done:
    """Release the latch of an emergency stop and return what that did; raises UsbshareError.

    `seen_epoch` names the last stop that the person knows of; None: whichever the line tells of.
    """
    if seen_epoch is not None:
        epoch = await client.rearm(port_id, seen_epoch)
        told = await _port_of(client, port_id)
        return _rearmed(told, epoch, f"{_name_of(told)} accepts programs again (epoch {epoch})")
    port = await client.get_port(port_id)
    if port.latch is None:
        text = f"port '{port.id}' is not latched (epoch {port.epoch})"
        return _rearmed(port.id, port.epoch, text)
    epoch = await client.rearm(port.id, port.latch.epoch)
    stopped = f"it was stopped by {port.latch}"
    text = f"port '{port.id}' accepts programs again (epoch {epoch}); {stopped}"
    return _rearmed(port.id, epoch, text)


def _done(
    client: StopCalls, port_id: str, told: str, action: StopAction, report: StopReport
) -> Done:
    line = (
        f"{action.value} on {_name_of(told)}: {_what_was_done(action, report)}; "
        f"{_times(action, report)}; {_what_now(client, port_id, action, report)}"
    )
    return Done(line, {"action": action.value, "port": told, **_fields(report)})


def _rearmed(port_id: str, epoch: int, text: str) -> Done:
    fields = {"action": "re-arm", "port": port_id, "epoch": epoch, "latched": False}
    return Done(text, fields)


async def _port_of(client: StopCalls, port_id: str) -> str:
    """Return the port's id, empty if unknown; asks after the stop, which must not wait."""
    if port_id:
        return port_id
    try:
        return await client.only_port(NAME_TIMEOUT_S)
    except UsbshareError:
        return ""


def _name_of(port_id: str) -> str:
    return f"port '{port_id}'" if port_id else "the host's port"


def _what_was_done(action: StopAction, report: StopReport) -> str:
    if action is StopAction.RESUME and not report.sent:
        return "what was held continues; the profile has no bytes to resume the machine with"
    sent = f"sent {_shown(report.sent)}" if report.sent else NOTHING_SENT
    if action is not StopAction.EMERGENCY_STOP:
        return sent
    plural = "" if report.fenced_commands == 1 else "s"
    return f"{sent}, fenced {report.fenced_commands} command{plural}"


def _fields(report: StopReport) -> dict[str, object]:
    drained = report.drain_delay_s
    return {
        "sent": report.sent.hex(),
        "fenced_commands": report.fenced_commands,
        "epoch": report.epoch,
        "hold_number": report.hold_number,
        "latched": report.latched,
        "round_trip_ms": round(report.round_trip_s * 1e3, 3),
        "write_delay_ms": round(report.write_delay_s * 1e3, 3),
        "drain_delay_ms": None if drained is None else round(drained * 1e3, 3),
    }


def _times(action: StopAction, report: StopReport) -> str:
    drained = report.drain_delay_s
    parts = [
        f"round trip {report.round_trip_s * 1e3:.1f} ms",
        f"written after {report.write_delay_s * 1e3:.1f} ms",
    ]
    if drained is not None:
        parts.append(f"drained after {drained * 1e3:.1f} ms")
    elif action is not StopAction.RESUME:  # of which the machine itself tells more
        parts.append("drained: unknown")
    return ", ".join(parts)


def _what_now(client: StopCalls, port_id: str, action: StopAction, report: StopReport) -> str:
    target = shlex.quote(client.target.name or str(client.target))
    where = f"--target {target}" + (f" --port {port_id}" if port_id else "")
    if report.latched:
        rearm = f"usbshare-bridge stop --rearm {where} --epoch {report.epoch}"
        return f"the port is latched until `{rearm}`"
    if action in (StopAction.HOLD, StopAction.SAFETY_DOOR):
        seen = f"--epoch {report.epoch} --hold-number {report.hold_number}"
        return f"not latched: `usbshare-bridge stop --resume {where} {seen}` continues"
    return "not latched"


def _shown(data: bytes) -> str:
    """Return bytes as a person knows them: `!`, 0x18, M112."""
    shown, text = [], ""
    for character in data.decode("latin-1"):
        if " " <= character <= "~":
            text += character
            continue
        shown += [text, "" if character == "\n" else f"0x{ord(character):02X}"]
        text = ""
    return ", ".join(filter(None, (*shown, text)))
