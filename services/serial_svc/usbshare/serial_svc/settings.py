"""The serial service's configuration: what may be written in its TOML file."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from usbshare.audit.settings import AuditTable
from usbshare.base.config import Table, checked
from usbshare.base.service_settings import Address, ListenTable, TlsTable, valid_ids
from usbshare.base.usual_ports import SERIAL_PORT
from usbshare.hosts.settings import DiscoveryTable
from usbshare.line.profiles import BY_NAME, Profile, StopAction, StopPlan
from usbshare.line.settings import HIGHEST_BAUD, FlowControl, LineSettings, Parity
from usbshare.serial_svc.line.port_config import LinkLossPolicy, PortConfig, QueueLimits
from usbshare.serial_svc.ports.sources import check_source
from usbshare.serial_svc.stop.link_loss import action_of
from usbshare.service.program import Program

_PARITIES = {parity.name.lower(): parity for parity in Parity}


def _escaped_bytes(text: str) -> str:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError("only characters up to \\u00FF are allowed, each one byte") from error
    return text


PROGRAM = Program(
    name="serial-svc",
    package="usbshare.serial_svc",
    section="service",
    listen_variable="USBSHARE_LISTEN",
    port=SERIAL_PORT,
    metrics_port=9464,
    does="use the ports",
    ends="sessions",
)

Source = Annotated[str, Field(min_length=1), checked(check_source)]
ByteText = Annotated[str, AfterValidator(_escaped_bytes)]


class ServiceTable(ListenTable):
    """`[service]`: where the service listens and what it logs."""

    listen: Address = PROGRAM.address


class QueueTable(Table):
    """`[queue]`: how much may wait for each port."""

    max_commands: int = Field(default=100, ge=1, le=10_000)
    max_bytes: int = Field(default=65536, ge=256, le=16_777_216)
    promote_after_s: float = Field(default=2.0, ge=0.01, le=3600)

    def limits(self) -> QueueLimits:
        """Return the limits that a port takes."""
        return QueueLimits(self.max_commands, self.max_bytes, self.promote_after_s)


class LimitsTable(Table):
    """`[limits]`: how many may use one port at a time; the policy limits each identity."""

    observers_per_port: int = Field(default=256, ge=0, le=10_000)


class StopTable(Table):
    """`[ports.<id>.stop]`: bytes of each stop, in place of the profile's own."""

    hold: ByteText | None = None
    safety_door: ByteText | None = None
    resume: ByteText | None = None
    emergency_stop: ByteText | None = None
    drop_dtr: bool = False

    def applied_to(self, profile: Profile) -> Profile:
        """Return the profile with these stops in place of its own."""
        stops = dict(profile.stops)
        for action in StopAction:
            text = getattr(self, action.name.lower())
            if text is not None:
                flush = action is StopAction.EMERGENCY_STOP
                stops[action] = StopPlan(text.encode("latin-1"), flush=flush)
        if self.drop_dtr:
            emergency = stops.get(StopAction.EMERGENCY_STOP, StopPlan(b"", flush=True))
            stops[StopAction.EMERGENCY_STOP] = replace(emergency, drop_dtr=True)
        return replace(profile, stops=stops)


class PortTable(Table):
    """`[ports.<id>]`: one serial port."""

    source: Source
    description: str = ""
    profile: Literal["auto", "raw", "grbl", "grblhal", "grbl09", "marlin", "smoothie", "reprap"] = (
        "auto"
    )
    baud: int = Field(default=115200, ge=1, le=HIGHEST_BAUD)
    data_bits: Literal[5, 6, 7, 8] = 8
    parity: Literal["none", "even", "odd", "mark", "space"] = "none"
    stop_bits: Literal[1, 1.5, 2] = 1  # type: ignore[valid-type]
    flow_control: Literal["none", "rts_cts", "xon_xoff"] = "none"
    dtr: bool | None = None
    rts: bool | None = None
    link_loss: Literal["by_profile", "door", "hold", "stop", "continue", "none"] = "by_profile"
    link_timeout_s: float = Field(default=2.0, ge=0.5, le=60)
    resume_window_s: float = Field(default=30.0, ge=0, le=3600)
    write_timeout_s: float = Field(default=60.0, ge=0, le=600)
    stop: StopTable = Field(default_factory=StopTable)

    def line_settings(self) -> LineSettings:
        """Return the settings of the line."""
        parity, flow_control = _PARITIES[self.parity], FlowControl(self.flow_control)
        stop_bits = float(self.stop_bits)
        return LineSettings(self.baud, self.data_bits, parity, stop_bits, flow_control)

    @model_validator(mode="after")
    def _stops_need_a_profile(self) -> Self:
        if self.profile == "auto" and self.stop != StopTable():
            raise ValueError("[stop] needs a profile other than auto")
        return self

    @model_validator(mode="after")
    def _link_loss_needs_its_stop(self) -> Self:
        policy, profile = self.policy(), self.profiled()
        action = action_of(policy) if policy else None
        if profile is None or action is None or action in profile.stops:
            return self
        raise ValueError(
            f'link_loss = "{self.link_loss}" needs the bytes of that stop, which profile '
            f"{self.profile} does not have: set [stop] {action.name.lower()}, or link_loss to "
            "continue or none"
        )

    def policy(self) -> LinkLossPolicy | None:
        """Return the configured policy, None where the profile decides."""
        return None if self.link_loss == "by_profile" else LinkLossPolicy(self.link_loss)

    def profiled(self) -> Profile | None:
        """Return the profile with the port's own stops, None for `auto`."""
        if self.profile == "auto":
            return None
        return self.stop.applied_to(BY_NAME[self.profile])

    def config(self, port_id: str, queue: QueueLimits) -> PortConfig:
        """Return what a port takes."""
        return PortConfig(
            id=port_id,
            source=self.source,
            description=self.description,
            profile=self.profiled(),
            settings=self.line_settings(),
            queue=queue,
            dtr=self.dtr,
            rts=self.rts,
            link_loss=self.policy(),
            link_timeout_s=self.link_timeout_s,
            resume_window_s=self.resume_window_s,
            write_timeout_s=self.write_timeout_s,
        )


class Settings(Table):
    """The whole file; without `[ports]` the service offers what is plugged in."""

    service: ServiceTable = Field(default_factory=ServiceTable)
    tls: TlsTable = Field(default_factory=TlsTable)
    audit: AuditTable = Field(default_factory=AuditTable)
    queue: QueueTable = Field(default_factory=QueueTable)
    limits: LimitsTable = Field(default_factory=LimitsTable)
    discovery: DiscoveryTable = Field(default_factory=DiscoveryTable)
    ports: Annotated[dict[str, PortTable], valid_ids("port")] = Field(default_factory=dict)

    def port_limits(self) -> QueueLimits:
        """Return the limits that every port takes."""
        return replace(self.queue.limits(), most_observers=self.limits.observers_per_port)

    def port_configs(self) -> list[PortConfig]:
        """Return what the ports take."""
        limits = self.port_limits()
        return [table.config(port_id, limits) for port_id, table in self.ports.items()]
