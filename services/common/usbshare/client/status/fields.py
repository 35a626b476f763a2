"""What machines are doing, for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from usbshare.client.jobs.messages import QUEUED
from usbshare.client.jobs.shown import fields as job_fields
from usbshare.client.serial import port_condition
from usbshare.client.serial.machine import MachineStatus
from usbshare.client.status.records import HostStatus, PortStatus
from usbshare.line.machine_report import MachineReport


def objects(host: HostStatus) -> Iterator[dict[str, Any]]:
    """Yield an object a port, or one that says why the host did not answer."""
    since = None if host.silent_since is None else host.silent_since.isoformat()
    where = {"host": host.name, "target": host.target, "silent_since": since}
    if host.failure:
        yield where | {"error": host.failure}
        return
    link = None if host.link is None else asdict(host.link)
    for each in host.ports:
        yield where | _port(each) | {"link": link, "job_troubles": list(host.job_troubles)}


def _port(status: PortStatus) -> dict[str, Any]:
    port, machine = status.port, status.machine
    report = machine.report if machine else None
    return {
        "id": port.id,
        "state": port.state,
        "reason": port.reason,
        "profile": port.profile.name,
        "holder": port.holder,
        "holder_round_trip_ms": _milliseconds(machine.holder_round_trip_s if machine else None),
        "observers": port.observers,
        "epoch": port.epoch,
        "latched": port.latched,
        **port_condition.fields(port),
        "machine": _machine(report, machine.report_age_s) if machine and report else None,
        "queue": _queue(machine) if machine else None,
        **_jobs(status),
    }


def _jobs(status: PortStatus) -> dict[str, Any]:
    jobs = status.jobs or ()
    active = next((job for job in jobs if job.state != QUEUED), None)
    waiting = sum(job.state == QUEUED for job in jobs)
    return {
        "job": None if active is None else job_fields(active),
        "queued_jobs": None if status.jobs is None else waiting,
    }


def _machine(report: MachineReport, age_s: float) -> dict[str, Any]:
    told = report.overrides
    overrides = (
        None
        if told is None
        else {
            "feed_percent": told.feed,
            "rapids_percent": told.rapids,
            "spindle_percent": told.spindle,
        }
    )
    lists = {
        "machine_position": list(report.machine_position),
        "work_position": list(report.work_position),
        "work_offset": list(report.work_offset),
    }
    return asdict(report) | lists | {"overrides": overrides, "age_s": round(age_s, 3)}


def _queue(machine: MachineStatus) -> dict[str, Any]:
    return {
        "commands": machine.queued_commands,
        "bytes": machine.queued_bytes,
        "band": machine.queue_band,
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)
