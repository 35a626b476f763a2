"""Which files a reader opens to follow one thing through the house: `python -m tools.routes`.

Each route is played by real processes and traced (`tools.traced`). Its stations are where the thing
is handed over: from one task to another, or to another computer. The files between two stations are
not listed by hand but found: those whose calls were running when the next station was reached.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import serial
from bench.ours import PortTable, Service, start_service
from bench.renewal import age
from bench.stage import REPOSITORY, Actor, Stage, free_port

sys.path.insert(0, str(REPOSITORY / "tests"))

from fakes.cdc_acm import attach
from fakes.panel import HOST, LASER, page_at

MOST_FILES = 10
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Station:
    """A call that is on the route: in which process, of which function of which file.

    Where other things call it too (a status request is written like a line), `through` names the
    file that this one comes through.
    """

    process: str
    place: str
    through: str = ""

    def __str__(self) -> str:
        return f"{self.process} {self.place}"


@dataclass(frozen=True, slots=True)
class Route:
    """What is followed, from station to station, how it is set going, and how long it may be."""

    name: str
    stations: tuple[Station, ...]
    play: Callable[[Scene], None]
    most_files: int = MOST_FILES


class Scene:
    """The processes of one route, each traced at its own stations."""

    def __init__(self, stage: Stage, stations: Sequence[Station]) -> None:
        self.stage = stage
        self._stations = stations
        self._begun: dict[str, int] = {}

    def command(self, process: str, module: str) -> list[str]:
        """Return the start of the command line that runs one of our modules, traced."""
        places = ",".join(each.place for each in self._stations if each.process == process)
        traced = [sys.executable, "-m", "tools.traced", str(self._log(process))]
        return [*traced, places or "-:-", module]

    def begin(self) -> None:
        """Follow from here: what was called before does not count."""
        for process in {each.process for each in self._stations}:
            log = self._log(process)
            self._begun[process] = log.stat().st_size if log.exists() else 0

    def files(self) -> list[str]:
        """Return the files on the way, once each, in order; waits until all stations are passed."""
        found: list[str] = []
        for station in self._stations:
            for name in self._way_to(station):
                if name not in found:
                    found.append(name)
        return found

    def _way_to(self, station: Station) -> list[str]:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            for call in self._calls(station.process):
                files = list(call["files"])
                if call["station"] == station.place and station.through in ("", *files):
                    return files
            time.sleep(0.05)
        raise SystemExit(f"routes: nothing came by at {station}: is that still on the way?")

    def _calls(self, process: str) -> Iterator[dict[str, Any]]:
        log = self._log(process)
        if not log.exists():
            return
        with log.open("rb") as file:
            file.seek(self._begun.get(process, 0))
            for line in file.read().splitlines():
                yield json.loads(line)

    def _log(self, process: str) -> Path:
        return self.stage.folder / f"{process}.calls"


def _serial_service(scene: Scene, source: str = "sim://grbl") -> Service:
    ports = {"laser": PortTable(source, "grbl")}
    return start_service(
        scene.stage, ports, command=scene.command("serial-svc", "usbshare.serial_svc")
    )


def _bridge(scene: Scene, service: Service) -> tuple[Actor, str]:
    path = scene.stage.path("COM10")
    arguments = ["--target", service.target, "--port", "laser", "--vcom", path]
    actor = scene.stage.start([*scene.command("bridge", "usbshare.bridge"), *arguments])
    actor.wait_for("ready: open")
    return actor, path


def _run(scene: Scene, arguments: Sequence[str]) -> Actor:
    actor = scene.stage.start([*scene.command("bridge", "usbshare.bridge"), *arguments])
    actor.process.wait(TIMEOUT_S)
    return actor


def _device(scene: Scene) -> str:
    """Start a controller on a pseudo-terminal, so that a real device is opened."""
    link = scene.stage.path("ttyUSB0")
    actor = scene.stage.start(
        [sys.executable, "-m", "usbshare.serial_svc", "simulate", "grbl", "--pty", link]
    )
    return scene.stage.wait_for_path("ttyUSB0", actor)


def _program_byte(scene: Scene) -> None:
    _, path = _bridge(scene, _serial_service(scene, _device(scene)))
    with serial.Serial(path, 115200, timeout=TIMEOUT_S) as port:
        port.write(b"$I\n")
        port.read_until(b"ok\r\n")
        scene.begin()
        port.write(b"G91\n")
        port.read_until(b"ok\r\n")


def _stop(scene: Scene) -> None:
    service = _serial_service(scene, _device(scene))
    _, path = _bridge(scene, service)
    with serial.Serial(path, 115200, timeout=TIMEOUT_S) as port:
        port.write(b"$I\n")
        port.read_until(b"ok\r\n")
        scene.begin()
        _run(scene, ["stop", "--target", service.target, "--port", "laser"])


def _link_loss(scene: Scene) -> None:
    actor, path = _bridge(scene, _serial_service(scene, _device(scene)))
    with serial.Serial(path, 115200, timeout=TIMEOUT_S) as port:
        port.write(b"G91\nM3 S10\nG1 X1000 F100\n")
        for _ in range(3):
            port.read_until(b"ok\r\n")
        scene.begin()
        os.kill(actor.pid, signal.SIGKILL)


def _renewal(scene: Scene) -> None:
    service = _serial_service(scene)
    # A copy: the service itself renews the one beside its site.
    bundle = Path(shutil.copy(service.folder / "client.pem", scene.stage.path("pc.pem")))
    age(bundle, service.folder / "site")
    scene.begin()
    _run(scene, ["renew", "--target", service.target, "--bundle", str(bundle)])


def _bad_key(scene: Scene) -> None:
    config = scene.stage.folder / "bad.toml"
    config.write_text("[service]\nlisen = '0.0.0.0'\n")
    scene.begin()
    command = scene.command("serial-svc", "usbshare.serial_svc")
    scene.stage.start([*command, "--config", str(config)]).process.wait(TIMEOUT_S)


def _picture(scene: Scene) -> None:
    config = scene.stage.folder / "camera.toml"
    config.write_text('[cameras.bed]\nsource = "sim://bed"\n')
    target = f"127.0.0.1:{free_port()}"
    command = scene.command("camera-svc", "usbshare.camera_svc")
    service = scene.stage.start([*command, "--config", str(config), "--listen", target])
    service.wait_for("camera-svc ready at")
    page = f"127.0.0.1:{free_port()}"
    command = scene.command("bridge", "usbshare.bridge")
    viewer = scene.stage.start([*command, "camera", "--target", target, "--http", page])
    viewer.wait_for(page)
    scene.begin()
    with urllib.request.urlopen(f"http://{page}/snapshot.jpg", timeout=TIMEOUT_S) as answer:
        answer.read()


def _job_line(scene: Scene) -> None:
    service = _serial_service(scene, _device(scene))
    target = f"127.0.0.1:{free_port()}"
    config = scene.stage.folder / "job.toml"
    config.write_text(f'[job]\nlisten = "{target}"\n[serial]\ntarget = "{service.target}"\n')
    command = scene.command("job-svc", "usbshare.job_svc")
    scene.stage.start([*command, "--config", str(config)]).wait_for("job-svc ready at")
    program = scene.stage.folder / "program.nc"
    program.write_text("G21\nG91\n" + "G1 X1 F600 S0\nG1 X-1\n" * 5000)
    submit = ["job", "submit", str(program), "--target", target, "--port", "laser", "--start"]
    _run(scene, submit)
    scene.begin()  # the machine was asked for its settings before


def _panel_stop(scene: Scene) -> None:
    service = _serial_service(scene, _device(scene))
    config = scene.stage.folder / "panel.toml"
    config.write_text(
        "[discovery]\nmdns = false\nbeacon = false\n"
        f'[hosts.{HOST}]\naddress = "127.0.0.1"\nserial = {service.target.partition(":")[2]}\n'
    )
    address = f"127.0.0.1:{free_port()}"
    command = [*scene.command("panel", "usbshare.bridge"), "--config", str(config), "panel"]
    scene.stage.start([*command, "--listen", address]).wait_for(address)
    asyncio.run(_click_on_stop(scene, f"http://{address}"))


async def _click_on_stop(scene: Scene, origin: str) -> None:
    async with aiohttp.ClientSession() as http, page_at(http, origin) as page:
        await page.until_laser(lambda laser: laser["stop"].get("isAllowed"))
        scene.begin()
        await page.ask(stop={"machine": LASER, "action": "STOP_ACTION_EMERGENCY_STOP"})


def _usb_byte(scene: Scene) -> None:
    service = _serial_service(scene, _device(scene))
    command = scene.command("bridge", "usbshare.bridge")
    address = f"127.0.0.1:{free_port()}"
    arguments = ["--target", service.target, "--port", "laser", "--usb-port", address]
    scene.stage.start([*command, *arguments]).wait_for("ready: open")
    asyncio.run(_write_through_usb(scene, address))


async def _write_through_usb(scene: Scene, address: str) -> None:
    async with await attach(address, "1-1") as driver:
        await driver.open()
        for line in (b"$I\n", b"G91\n"):
            scene.begin()
            await driver.write_all(line)
            answer = b""
            while not answer.endswith(b"ok\r\n"):
                answer += await driver.read(1)


ROUTES = (
    Route(
        "a program's byte to the device",
        (
            Station("bridge", "client/serial/convert.py:_command"),
            Station("serial-svc", "line/posix/device.py:write", "serial_svc/sessions/session.py"),
        ),
        _program_byte,
    ),
    Route(
        "a stop with its fence",
        (
            Station("bridge", "client/serial/stop_client.py:stop_request"),
            Station("serial-svc", "line/posix/device.py:write", "serial_svc/stop/stop_path.py"),
            Station("serial-svc", "serial_svc/sessions/session.py:fence"),
        ),
        _stop,
    ),
    Route(
        "a certificate renewed on the PC",
        (
            Station("bridge", "client/renewal_calls.py:call_renew"),
            Station("serial-svc", "trust/site_renewal.py:renew"),
            Station("bridge", "bridge/forwarding/bundle_file.py:write"),
        ),
        _renewal,
    ),
    Route(
        "a lost link",
        (
            Station("serial-svc", "serial_svc/sessions/link_watch.py:lose"),
            Station("serial-svc", "line/posix/device.py:write", "serial_svc/stop/link_loss.py"),
        ),
        _link_loss,
    ),
    Route(
        "a bad key in a configuration",
        (
            Station("serial-svc", "base/config.py:_explain"),
            Station("serial-svc", "service/cli.py:_fail"),
        ),
        _bad_key,
    ),
    Route(
        "a picture to a viewer",
        (
            Station("camera-svc", "camera_svc/viewers/fanout.py:captured"),
            Station("camera-svc", "camera_svc/viewers/viewer.py:offer"),
            Station("camera-svc", "camera_svc/api/view_stream.py:take"),
            Station("bridge", "client/camera/view.py:put"),
            Station("bridge", "bridge/camera/web.py:_timing"),
        ),
        _picture,
    ),
    Route(
        "a job's line to the device",
        (
            Station("job-svc", "client/serial/line_stream.py:send"),
            Station("job-svc", "client/serial/convert.py:_command"),
            Station("serial-svc", "serial_svc/sessions/line_delivery.py:add"),
            Station("serial-svc", "serial_svc/line/line.py:submit"),
            Station("serial-svc", "line/posix/device.py:write", "serial_svc/line/line.py"),
        ),
        _job_line,
        most_files=14,  # it waits in the service, and a reply of the firmware lets it go on
    ),
    Route(
        "the panel's stop to the device",
        (
            Station("panel", "panel/machines/acting.py:stop"),
            Station("panel", "client/serial/stop_client.py:stop_request"),
            Station("serial-svc", "line/posix/device.py:write", "serial_svc/stop/stop_path.py"),
        ),
        _panel_stop,
    ),
    Route(
        "a USB port's byte to the device",
        (
            Station("bridge", "client/serial/convert.py:_command"),
            Station("serial-svc", "line/posix/device.py:write", "serial_svc/sessions/session.py"),
        ),
        _usb_byte,
        most_files=13,  # three for USB/IP, then a program's byte
    ),
)


def follow(route: Route) -> list[str]:
    """Play a route and return the files on it."""
    with Stage() as stage:
        scene = Scene(stage, route.stations)
        route.play(scene)
        return scene.files()


def main() -> None:
    """Print every route; ends with 1 if one passes more files than a reader can follow."""
    os.chdir(REPOSITORY)
    is_too_long = False
    for route in ROUTES:
        files = follow(route)
        is_too_long |= len(files) > route.most_files
        print(f"{route.name}: {len(files)} files")
        print("".join(f"  {each}\n" for each in files))
    sys.exit(is_too_long)


if __name__ == "__main__":
    main()
