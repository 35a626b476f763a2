"""What a gateway knows of a small workshop: frames as they come over the panel's WebSocket."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from usbshare.access.v1 import access_pb2
from usbshare.discovery.v1 import discovery_pb2
from usbshare.job.v1 import job_pb2
from usbshare.page.v1 import page_pb2
from usbshare.serial.v1 import serial_pb2

SITE = "666043a70272d0f1b2c3d4e5f60718293a4b5c6d7e8f90010203040506070809"
KEY = page_pb2.MachineKey(host="laser-host", port_id="laser")
MILL = page_pb2.MachineKey(host="laser-host", port_id="mill")
ALLOWED = page_pb2.Permission(is_allowed=True)
TIME = Timestamp(seconds=1796000000)


def ms(value: float) -> Duration:
    """Return a duration of so many milliseconds."""
    made = Duration()
    made.FromNanoseconds(round(value * 1e6))
    return made


def host(**changes: object) -> page_pb2.Host:
    """Return a host of this computer's site, connected."""
    connected = page_pb2.Service(
        state=page_pb2.SERVICE_STATE_CONNECTED, target="192.168.1.20:50051"
    )
    made = page_pb2.Host(
        key="laser-host",
        name="Laser-Workshop",
        dns_name="laser.local",
        addresses=["192.168.1.20"],
        sources=[discovery_pb2.SOURCE_MDNS, discovery_pb2.SOURCE_BEACON],
        version="0.1.0",
        site=SITE,
        relation=page_pb2.SITE_RELATION_OWN,
        serial=connected,
        job=connected,
        round_trip=ms(1.1),
        who_am_i=access_pb2.WhoAmIResponse(
            identity=f"usbshare://{SITE[:12]}/bench-3",
            grants=[
                access_pb2.Grant(
                    kind=access_pb2.RESOURCE_KIND_PORT,
                    id="laser",
                    rights=[access_pb2.RIGHT_VIEW, access_pb2.RIGHT_STOP, access_pb2.RIGHT_CONTROL],
                    to_confirm=[access_pb2.RIGHT_CONTROL],
                )
            ],
        ),
        last_seen_time=TIME,
    )
    made.MergeFrom(page_pb2.Host(**changes))  # type: ignore[arg-type]
    return made


def foreign_host() -> page_pb2.Host:
    """Return a host of another site."""
    return page_pb2.Host(
        key="neighbour",
        name="Neighbour",
        addresses=["192.168.1.21"],
        sources=[discovery_pb2.SOURCE_BEACON],
        site="35a8d40d609d" + "0" * 52,
        relation=page_pb2.SITE_RELATION_FOREIGN,
        serial=page_pb2.Service(state=page_pb2.SERVICE_STATE_NOT_ASKED),
        announced_port_ids=["plotter"],
    )


def machine(key: page_pb2.MachineKey = KEY, **changes: object) -> page_pb2.Machine:
    """Return a GRBL laser at rest, which this computer may control."""
    made = page_pb2.Machine(
        key=key,
        port=serial_pb2.Port(
            id=key.port_id,
            description="40 W diode laser",
            state=serial_pb2.PORT_STATE_OPEN,
            profile=serial_pb2.PROFILE_GRBL,
            epoch=7,
            hold_number=2,
            machine_state="Idle",
        ),
        report=report(),
        stop=ALLOWED,
        control=ALLOWED,
        take=ALLOWED,
        control_state=page_pb2.CONTROL_STATE_FREE,
        abilities=page_pb2.Abilities(
            can_jog=True,
            can_home=True,
            can_override=True,
            can_pulse=True,
            can_hold=True,
            travel=job_pb2.Box(min_x_mm=-400, min_y_mm=-400, max_x_mm=0, max_y_mm=0),
            max_spindle=1000,
            max_feed=6000,
            max_pulse_time=ms(100),
            max_pulse_percent=5,
        ),
    )
    if "report" in changes:
        made.ClearField("report")  # its lists would be merged
    made.MergeFrom(page_pb2.Machine(**changes))  # type: ignore[arg-type]
    return made


def report(state: str = "Idle", **changes: object) -> serial_pb2.MachineReport:
    """Return a report of it."""
    made = serial_pb2.MachineReport(
        age=ms(80),
        state=state,
        machine_position=[-366.507, -400, 0],
        work_position=[33.493, 0, 0],
        work_offset=[-400, -400, 0],
        feed=0,
        spindle=0,
        overrides=serial_pb2.Overrides(feed_percent=100, rapids_percent=100, spindle_percent=100),
        free_blocks=15,
        free_bytes=128,
    )
    made.MergeFrom(serial_pb2.MachineReport(**changes))  # type: ignore[arg-type]
    return made


def job(job_id: int = 17, **changes: object) -> page_pb2.HostJob:
    """Return a job that waits at the first place."""
    made = job_pb2.Job(
        job_id=job_id,
        port_id="laser",
        name="coaster.nc",
        file=job_pb2.File(sha256=b"\0" * 32, size_bytes=95_800, lines=6126),
        submitter=f"usbshare://{SITE[:12]}/bench-3",
        state=job_pb2.JOB_STATE_QUEUED,
        passes=1,
        place=1,
        progress=job_pb2.Progress(lines=6126, size_bytes=95_800),
    )
    made.MergeFrom(job_pb2.Job(**changes))  # type: ignore[arg-type]
    return page_pb2.HostJob(host="laser-host", job=made)


def gateway(**changes: object) -> page_pb2.Gateway:
    """Return the computer that the panel runs on, enrolled."""
    made = page_pb2.Gateway(
        version="0.1.0",
        name="bench-3",
        identity=f"usbshare://{SITE[:12]}/bench-3",
        site=SITE,
        preselected=page_pb2.Preselected(
            host="laser-host", port_id="laser", text="used last on this computer"
        ),
        local_port_kinds=[
            page_pb2.LOCAL_PORT_KIND_SERIAL,
            page_pb2.LOCAL_PORT_KIND_TCP,
            page_pb2.LOCAL_PORT_KIND_RFC2217,
        ],
    )
    made.MergeFrom(page_pb2.Gateway(**changes))  # type: ignore[arg-type]
    return made


def workshop(*machines: page_pb2.Machine, **changes: object) -> page_pb2.Snapshot:
    """Return all that is known: two hosts, the machines (one laser at rest unless given)."""
    made = page_pb2.Snapshot(
        is_local_page=True,
        gateway=gateway(),
        hosts=[host(), foreign_host()],
        machines=machines or [machine()],
    )
    made.MergeFrom(page_pb2.Snapshot(**changes))  # type: ignore[arg-type]
    return made
