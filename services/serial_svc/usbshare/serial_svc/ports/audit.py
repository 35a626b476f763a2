"""Records the use of one port in the audit log: sessions, control, writes, changes, stops."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.audit.bursts import Burst
from usbshare.audit.recorder import Audit, NullAudit
from usbshare.base.throttle import Throttle
from usbshare.line.profiles import Profile, StopAction
from usbshare.line.settings import FlowControl, LineSettings
from usbshare.serial_svc.sessions.audit import Sending
from usbshare.serial_svc.sessions.client import Client, Mode
from usbshare.serial_svc.stop.audit import Pulse, ResetRecord, StopRecord

# Repetitions by one identity within this time are only counted.
LEAST_REALTIME_S = 1.0


class PortAudit:
    """Writes to the audit log of one port; nothing here waits or fails."""

    def __init__(
        self,
        port_id: str,
        clock: Callable[[], float],
        audit: Audit | None = None,
        *,
        keeps_contents: bool = False,
    ) -> None:
        self._port_id = port_id
        self._clock = clock
        self._audit = audit or NullAudit()
        self._keeps_contents = keeps_contents
        self._realtime = Throttle[tuple[str, ...]](LEAST_REALTIME_S, clock)

    def sending(self, client: Client) -> Sending:
        """Return the recorder of a session's program bytes."""

        def tell(burst: Burst, *, goes_on: bool) -> None:
            more = {"goes_on": True} if goes_on else {}
            self._of(client, "sent", **burst.fields(), **more)

        return Sending(self._clock, tell, keeps_contents=self._keeps_contents)

    def opened(self, client: Client) -> None:
        """Note a session that opened, and control that it took."""
        self._of(client, "session opened", mode=client.mode.value, client=client.name)
        if client.mode is Mode.CONTROL:
            self._of(client, "control taken")

    def resumed(self, client: Client, address: str) -> None:
        """Note that a client came back to its session, perhaps from another address."""
        self._note("session resumed", client.identity, address, session=client.session_id)

    def lost(self, client: Client, why: str) -> None:
        """Note that the client in control is gone."""
        self._of(client, "session lost", reason=why)

    def closed(self, client: Client, dropped_commands: int) -> None:
        """Note the end of a session, and of its control."""
        if client.mode is Mode.CONTROL:
            self._of(client, "control given up")
        self._of(client, "session closed", dropped_commands=dropped_commands)

    def configured(self, client: Client, before: LineSettings, settings: LineSettings) -> None:
        """Note other settings of the line."""
        if settings != before:
            self._of(client, "settings changed", before=_shown(before), settings=_shown(settings))

    def realtime(self, who: str, address: str, profile: Profile, data: bytes) -> None:
        """Note real-time bytes that stop or resume a machine; others are not recorded."""
        actions = [
            action.value
            for action, plan in profile.stops.items()
            if action is not StopAction.EMERGENCY_STOP and plan.data and plan.data in data
        ]
        if profile.resets(data):
            actions.append("reset")
        if not actions:
            return
        key = (who, *actions)
        if not self._realtime.admits(key):
            return
        what = {"action": ", ".join(actions), "sent": data.hex()}
        left_out = self._realtime.take_left_out(key)
        self._note("realtime", who, address, **what, left_out_before=left_out or None)

    def stopped(
        self, action: StopAction, who: str, address: str, reason: str, record: StopRecord
    ) -> None:
        """Note a stop that was carried out, with its times since the call."""
        drain_s = record.drain_delay_s
        self._note(
            "stop",
            who,
            address,
            action=action.value,
            reason=reason,
            sent=record.sent.hex(),
            write_ms=round(record.write_delay_s * 1e3, 3) if record.taken else None,
            drain_ms=None if drain_s is None else round(drain_s * 1e3, 3),
            fenced_commands=record.fenced_commands,
            latched=record.latched,
            epoch=record.epoch,
            caller_left=record.caller_left or None,
        )

    def stop_failed(
        self, action: StopAction, who: str, address: str, reason: str, why: str
    ) -> None:
        """Note a stop that the device did not accept."""
        self._note("stop failed", who, address, action=action.value, reason=reason, error=why)

    def line_error(self, reason: str, *, machine_held: bool) -> None:
        """Note that lines are held since one went wrong, and whether the machine is as well."""
        self._note("line error", "", "", reason=reason, machine_held=machine_held)

    def job_lost(self, who: str, why: str) -> None:
        """Note that a job was lost: programs are refused."""
        self._note("job lost", who, "", reason=why)

    def job_reset(self, sent: bytes) -> None:
        """Note that the machine of a lost job was reset."""
        self._note("lost job's machine reset", "", "", sent=sent.hex())

    def rearmed(self, who: str, address: str, epoch: int) -> None:
        """Note that a latch was released."""
        self._note("re-armed", who, address, epoch=epoch)

    def taken(self, client: Client, holder: Client) -> None:
        """Note that a client took control from its holder."""
        self._of(
            client,
            "control taken from another",
            taken_from=holder.identity,
            their_session=holder.session_id,
        )

    def reset(self, who: str, address: str, reason: str, record: ResetRecord) -> None:
        """Note that the machine was reset."""
        self._note(
            "reset",
            who,
            address,
            reason=reason,
            sent=record.sent.hex(),
            pulsed_dtr=record.pulsed is Pulse.DTR,
            pulsed_rts=record.pulsed is Pulse.RTS,
            fenced_commands=record.fenced_commands,
            latched=record.latched,
            epoch=record.epoch,
        )

    def device_opened(self, source: str) -> None:
        """Note that there is a device."""
        self._note("device opened", "", "", source=source)

    def device_lost(self, reason: str) -> None:
        """Note the loss of the device."""
        self._note("device lost", "", "", reason=reason)

    def _of(self, client: Client, event: str, /, **fields: object) -> None:
        self._note(event, client.identity, client.peer, session=client.session_id, **fields)

    def _note(self, event: str, who: str, address: str, **fields: object) -> None:
        self._audit.note(event, who=who, address=address, port=self._port_id, **fields)


def _shown(settings: LineSettings) -> str:
    """Return the settings in the usual notation: 115200 8N1."""
    parity, stop_bits = settings.parity.name[0], settings.stop_bits
    flow = "" if settings.flow_control is FlowControl.NONE else f" {settings.flow_control.value}"
    return f"{settings.baud} {settings.data_bits}{parity}{stop_bits:g}{flow}"
