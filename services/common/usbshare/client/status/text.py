"""What machines are doing, in lines for people; nothing in them acts on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from usbshare.base.terminal_safe_text import clean_text
from usbshare.client.jobs.messages import QUEUED, RemoteJob
from usbshare.client.jobs.shown import asked_by, percent, time_text
from usbshare.client.serial import port_condition
from usbshare.client.serial.latency import LatencySummary
from usbshare.client.serial.machine import MachineStatus
from usbshare.client.serial.messages import RemotePort
from usbshare.client.silence import last_heard, silent
from usbshare.client.status.records import HostStatus, PortStatus
from usbshare.line.machine_report import MachineReport, Numbers

# A report that is older is not of now.
FRESH_S = 2.5
_AXES = "XYZABCUVW"
_INDENT = 4
_LABEL = 12
_MOST_BYTES = 500


def page(hosts: Iterable[HostStatus]) -> str:
    """Return all hosts, a block each."""
    return "\n\n".join("\n".join(_host(host)) for host in hosts)


def _host(host: HostStatus) -> Iterator[str]:
    is_same = host.name in {host.target, host.target.rpartition(":")[0]}
    name = host.target if is_same else f"{host.name} ({host.target})"
    if host.failure:
        yield _clean(f"{name}: {host.failure}{last_heard(host.silent_since)}")
        return
    yield _clean(name + (silent(host.silent_since) or _link(host.link)))
    for trouble in host.job_troubles:
        yield "  " + _clean(f"job-svc: {trouble}")
    if not host.ports:
        yield "  no ports"
    for each in host.ports:
        yield "  " + _clean(_headline(each))
        for label, text in _details(each):
            yield " " * _INDENT + label.ljust(_LABEL) + _clean(text)


def _link(link: LatencySummary | None) -> str:
    if link is None:
        return ""
    return (
        f", round trip {link.now_ms:.1f} ms (min {link.min_ms:.1f}, mean {link.mean_ms:.1f}, "
        f"max {link.max_ms:.1f})"
    )


def _headline(status: PortStatus) -> str:
    port, machine = status.port, status.machine
    name = f"{port.id} ({port.profile.name})"
    report = machine.report if machine else None
    if machine is None or report is None or not report.state:
        reason = f": {port.reason}" if port.reason else ""
        unknown = (
            "" if port.machine_state or port.state != "open" else "; the machine reports no state"
        )
        return f"{name}: {port.machine_state or port.state}{reason}{unknown}"
    substate = "" if report.substate is None else f":{report.substate}"
    return f"{name}: {report.state}{substate}{_age(port, machine)}"


def _age(port: RemotePort, machine: MachineStatus) -> str:
    if machine.report_age_s <= FRESH_S:
        return ""
    why = "; its program has not asked since" if port.holder else ""
    return f", reported {_ago(machine.report_age_s)} ago{why}"


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _details(status: PortStatus) -> Iterator[tuple[str, str]]:
    port, machine = status.port, status.machine
    if machine is not None and machine.report is not None:
        yield from _report(machine.report)
    if condition := port_condition.sentences(port):
        yield "held", condition
    if port.holder:
        yield "in control", port.holder + _round_trip(machine)
    if port.observers:
        yield "observers", str(port.observers)
    for job in status.jobs or ():
        if job.state != QUEUED:
            yield "job", _job(job)
            if who := asked_by(job):
                way = f"`usbshare-bridge job hand-over {job.id}` releases the port"
                yield "asked for", f"by {who}: {way}"
    if waiting := sum(job.state == QUEUED for job in status.jobs or ()):
        yield "jobs", f"{waiting} in the queue"
    if machine is not None and machine.queued_commands:
        queued = f"{machine.queued_commands} commands, {machine.queued_bytes} bytes"
        yield "queue", f"{queued} ({machine.queue_band})"


def _report(report: MachineReport) -> Iterator[tuple[str, str]]:
    """Yield what a report says; what it does not say is left out."""
    if report.work_position:
        yield "position", _position(report.work_position)
    if report.machine_position and report.machine_position != report.work_position:
        yield "machine", _position(report.machine_position)
    if report.feed is not None:
        spindle = "" if report.spindle is None else f", spindle or laser {report.spindle:g}"
        yield "feed", f"{report.feed:g} a minute{spindle}"
    if (told := report.overrides) is not None:
        yield "overrides", f"feed {told.feed} %, rapids {told.rapids} %, spindle {told.spindle} %"
    if report.free_blocks is not None:
        bytes_ = "" if report.free_bytes is None else f", {report.free_bytes} bytes"
        yield "free", f"{report.free_blocks} moves{bytes_}"
    if report.pins:
        yield "inputs", " ".join(report.pins)
    if report.accessories:
        yield "outputs", " ".join(report.accessories)
    if report.line is not None:
        yield "line", str(report.line)


def _job(job: RemoteJob) -> str:
    left, why = job.progress.remaining_s, f" ({job.reason})" if job.reason else ""
    rest = "" if left is None else f", {time_text(left)} left"
    passes = f", pass {job.progress.run}/{job.passes}" if job.passes > 1 else ""
    return f"{job.id} {job.name}: {job.state}{why} {percent(job.progress)} %{rest}{passes}"


def _position(numbers: Numbers) -> str:
    return "  ".join(f"{axis} {at:.3f}" for axis, at in zip(_AXES, numbers, strict=False))


def _round_trip(machine: MachineStatus | None) -> str:
    if machine is None or machine.holder_round_trip_s is None:
        return ""
    return f", round trip {machine.holder_round_trip_s * 1e3:.1f} ms"


def _clean(text: str) -> str:
    """Return text without what acts on a terminal; its own double spaces stay."""
    return "  ".join(clean_text(part, _MOST_BYTES) for part in text.split("  "))
