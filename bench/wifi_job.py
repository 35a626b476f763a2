"""A raster job through a link of 50 ms round trip that loses 1 % of the packets.

The link is vde2's `wirefilter` between two network namespaces (`bench.lossy_wire`); program and
bridge are at one end of it, service and machine at the other. The job is sent

- to a simulator on the same computer, as over a cable (`direct`);
- through a plain bridge, and through socat with TLS, as a program's `ok`s travel the link;
- through `bridge --buffered`, where the host streams beside the machine;
- as a job of job-svc that lies on the host (`spooled`).

Programs keep the 128 bytes of GRBL's receive buffer filled. The time is the machine's own, from its
first cut to its last. Every engraving must be that of the direct way.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import peers
from bench.job import character_counting, job_lines, run_job
from bench.lossy_wire import lossy_wire
from bench.ours import python_module
from bench.report import result, table
from bench.shaped_wire import HOST_ADDRESS, Namespaces
from bench.stage import SCRIPTS, Actor, BenchError, Stage

DELAY_MS, LOSS_PERCENT = 25.0, 1.0
DIRECT, PLAIN, SOCAT = "direct", "plain bridge", "socat TLS"
BUFFERED, SPOOLED = "bridge --buffered", "spooled job"
SERIAL_PORT, JOB_PORT, SOCAT_PORT = 50051, 50055, 50099
JOB_TIMEOUT_S = 600.0
Engraving = list[list[float]]


@dataclass(frozen=True, slots=True)
class Machine:
    """A simulated GRBL at the end of a pty, and the file with what it did."""

    path: str
    record: Path

    def cuts(self) -> list[dict[str, Any]]:
        """Return what it has engraved, and when."""
        entries = map(json.loads, self.record.read_text().splitlines())
        return [entry for entry in entries if "cut" in entry]


def main() -> None:
    """Measure and print."""
    lines = job_lines()
    times: dict[str, float] = {}
    engravings: dict[str, Engraving] = {}
    with Stage() as stage, lossy_wire(stage, delay_ms=DELAY_MS, loss_percent=LOSS_PERCENT) as wire:
        scene = Scene(stage, wire)
        ways = {
            DIRECT: scene.direct,
            SPOOLED: scene.spooled,
            BUFFERED: scene.buffered,
            PLAIN: scene.plain,
        }
        if peers.have("socat"):
            ways[SOCAT] = scene.socat
        for name, way in ways.items():
            cuts = way(lines).cuts()
            times[name] = cuts[-1]["t"] - cuts[0]["t"]
            engravings[name] = [cut["cut"] for cut in cuts]
            print(f"{name}: {times[name]:.1f} s", flush=True)
    _print(times, engravings, len(lines))


class Scene:
    """Everything that runs, a machine for each way."""

    def __init__(self, stage: Stage, wire: Namespaces) -> None:
        self._stage = stage
        self._wire = wire
        names = ("direct", "plain", "buffered", "spooled", "socat")
        self._machines = {name: self._machine(name) for name in names}
        self._start_services()

    def direct(self, lines: list[bytes]) -> Machine:
        """Send to the machine itself."""
        machine = self._machines["direct"]
        run_job(machine.path, character_counting, lines)
        return machine

    def plain(self, lines: list[bytes]) -> Machine:
        """Send through a bridge."""
        return self._bridged("plain", lines)

    def buffered(self, lines: list[bytes]) -> Machine:
        """Send through a bridge that answers early."""
        return self._bridged("buffered", lines, "--buffered")

    def socat(self, lines: list[bytes]) -> Machine:
        """Send through a tunnel."""
        machine, site = self._machines["socat"], self._stage.folder / "usbshare"
        own = f"cert={site}/site/server.crt,key={site}/site/server.key"
        trust = f"cafile={site}/site/ca.crt,verify=1"
        listen = f"OPENSSL-LISTEN:{SOCAT_PORT},bind={HOST_ADDRESS},reuseaddr,{own},{trust}"
        far = ["socat", f"{listen},nodelay", f"{machine.path},raw,echo=0"]
        self._stage.start(self._wire.on_host(far))
        link = self._stage.path("socat-near")
        connect = f"OPENSSL:{HOST_ADDRESS}:{SOCAT_PORT},cert={site}/client.pem,{trust}"
        near = ["socat", peers.PTY.format(link=link), f"{connect},nodelay,retry=50,interval=0.2"]
        actor = self._stage.start(self._wire.on_client(near))
        self._stage.wait_for_path("socat-near", actor)
        run_job(link, character_counting, lines)
        return machine

    def spooled(self, lines: list[bytes]) -> Machine:
        """Send a file, and let the host run it."""
        file = self._stage.folder / "engraving.nc"
        file.write_bytes(b"".join(lines))
        target = ["--target", f"{HOST_ADDRESS}:{JOB_PORT}"]
        job = self._job("submit", str(file), *target, "--port", "spooled", "--json")
        job_id = str(job["job"])
        self._job("start", job_id, *target, "--json")
        end = time.monotonic() + JOB_TIMEOUT_S
        while (job := self._job("show", job_id, *target, "--json"))["state"] != "finished":
            if time.monotonic() > end or job["state"] not in ("running", "queued"):
                raise BenchError(f"the job is {job['state']}: {job['reason']}")
            time.sleep(2.0)
        return self._machines["spooled"]

    def _bridged(self, name: str, lines: list[bytes], *more: str) -> Machine:
        path = self._stage.path(f"vcom-{name}")
        target = f"{HOST_ADDRESS}:{SERIAL_PORT}"
        arguments = ["--target", target, "--port", name, "--vcom", path, *more]
        actor = self._stage.start(self._wire.on_client([str(SCRIPTS / "bridge"), *arguments]))
        actor.wait_for("ready: open")
        run_job(path, character_counting, lines)
        return self._machines[name]

    def _machine(self, name: str) -> Machine:
        path, record = self._stage.path(f"sim-{name}"), self._stage.folder / f"{name}.jsonl"
        command = [str(SCRIPTS / "serial-svc"), "simulate", "grbl", "--pty", path]
        self._stage.start([*command, "--record", str(record)]).wait_for("ready")
        return Machine(path, record)

    def _start_services(self) -> None:
        config = self._stage.folder / "host.toml"
        served = (self._machines[name] for name in ("plain", "buffered", "spooled"))
        names = ("plain", "buffered", "spooled")
        config.write_text(
            "".join(
                f'[ports.{name}]\nsource = "{machine.path}"\nprofile = "grbl"\n'
                for name, machine in zip(names, served, strict=True)
            )
            + f'[serial]\ntarget = "{HOST_ADDRESS}:{SERIAL_PORT}"\n'
        )
        self._service("serial_svc", config, SERIAL_PORT).wait_for("serial-svc ready at")
        self._service("job_svc", config, JOB_PORT).wait_for("job-svc ready at")

    def _service(self, name: str, config: Path, port: int) -> Actor:
        command = [*python_module(f"usbshare.{name}"), "--config", str(config)]
        listen = ["--listen", f"{HOST_ADDRESS}:{port}"]
        return self._stage.start(self._wire.on_host([*command, *listen]))

    def _job(self, *arguments: str) -> dict[str, Any]:
        command = self._wire.on_client([str(SCRIPTS / "bridge"), "job", *arguments])
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=self._stage.environment()
        )
        if done.returncode:
            raise BenchError(f"bridge job {' '.join(arguments)}: {done.stdout}{done.stderr}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _print(times: dict[str, float], engravings: dict[str, Engraving], lines: int) -> None:
    print(f"job of {lines} lines at {2 * DELAY_MS:g} ms round trip and {LOSS_PERCENT:g} % loss")
    right = engravings[DIRECT]
    rows = [
        (name, took, took / times[DIRECT], "equal" if engravings[name] == right else "DIFFERENT")
        for name, took in times.items()
    ]
    table(("way", "seconds", "ratio", "engraving"), rows)
    for name, found in engravings.items():
        if found != right:
            raise BenchError(f"{name}: {len(found)} cuts, {len(right)} are right")
    keys = {BUFFERED: "buffered", SPOOLED: "spooled", PLAIN: "plain", SOCAT: "socat"}
    for name, key in keys.items():
        if name in times:
            result(f"{key}_ratio_to_direct", times[name] / times[DIRECT], "ratio")
