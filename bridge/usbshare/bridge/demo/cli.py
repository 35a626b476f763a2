"""Everything on one computer, without hardware: service, bridge, and a sender that knows neither.

Engraves the bundled picture on a simulated laser through the virtual COM port.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click
import serial

from usbshare.base.standard_streams import ensure_standard_streams
from usbshare.bridge.demo.engraving import engraving_lines
from usbshare.bridge.demo.gcode_sender import SentJob, stream_job

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
POLLS = 100


class DemoError(Exception):
    """A part of the demo did not start; the text has what it said."""


def main() -> None:
    """Run the demo and print what it measured."""
    ensure_standard_streams()
    with tempfile.TemporaryDirectory(prefix="usbshare-demo-") as folder:
        try:
            _demo(Path(folder))
        except DemoError as error:
            click.echo(f"demo: {error}", err=True)
            sys.exit(1)


def _demo(folder: Path) -> None:
    environment = _environment(folder)
    click.echo("starting serial-svc with a simulated GRBL laser")
    with _running(["serial-svc", "--listen", "127.0.0.1:0"], environment) as service:
        address = service.wait_for("ready at ").split("ready at ")[1].split()[0]
        click.echo(f"starting usbshare-bridge --target {address} --vcom COM10")
        arguments = ["bridge", "--target", address, "--vcom", "COM10", "--json"]
        with _running(arguments, environment) as bridge:
            _engrave(json.loads(bridge.wait_for('"ready"'))["path"], bridge)


def _engrave(path: str, bridge: Running) -> None:
    lines = engraving_lines()
    click.echo(f"engraving {len(lines)} lines through {path}")
    with serial.Serial(path, 115200, timeout=START_TIMEOUT_S) as port:
        port.write(b"\n")
        port.readline()
        start = time.monotonic()
        job = _with_progress(port, lines)
        _wait_until_idle(port)
        seconds = time.monotonic() - start
        trips = sorted(_poll(port)[1] for _ in range(POLLS))
        state = _poll(port)[0]
    _print_result(job, seconds, trips, state, bridge.last('"status"'))


def _with_progress(port: serial.Serial, lines: list[str]) -> SentJob:
    with click.progressbar(
        length=len(lines), label="engraving", show_eta=False, show_pos=True
    ) as bar:
        return stream_job(port, lines, lambda: bar.update(1))


def _wait_until_idle(port: serial.Serial) -> None:
    while not _poll(port)[0].startswith("<Idle"):
        pass


def _poll(port: serial.Serial) -> tuple[str, float]:
    """Ask for the state; returns the report and the seconds it took."""
    start = time.monotonic()
    port.write(b"?")
    while True:
        line = port.readline()
        if not line:
            raise DemoError("the machine no longer answers")
        if line.startswith(b"<"):
            return line.decode().strip(), time.monotonic() - start


def _print_result(
    job: SentJob, seconds: float, trips: list[float], state: str, status: str
) -> None:
    beats = json.loads(status)["latency"]
    rate = job.sent_bytes / seconds
    click.echo(f"lines         {job.lines}, {job.errors} errors")
    click.echo(f"bytes         {job.sent_bytes}, {rate:.0f} a second")
    click.echo(f"time          {seconds:.1f} s")
    click.echo(
        f"link          {beats['now_ms']:.2f} / {beats['min_ms']:.2f} / {beats['mean_ms']:.2f}"
        f" / {beats['max_ms']:.2f} ms round trip now/min/avg/max"
    )
    click.echo(
        f"status report {trips[len(trips) // 2] * 1e3:.2f} ms at the median, of which "
        f"{(len(state) + 3) / 11.52:.2f} ms is its time on the line at 115200 baud"
    )
    click.echo(f"machine       {state}")


class Running:
    """A script of ours; what it prints is kept, so that it never waits for us."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        threading.Thread(target=self._collect, args=(process.stdout,), daemon=True).start()

    def wait_for(self, text: str) -> str:
        """Return the first line with the text; raises DemoError when it ends without."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self._with(text), START_TIMEOUT_S)
            if not (found := self._with(text)):
                raise DemoError("a process did not start; its output:\n" + "".join(self._lines))
            return found[0]

    def last(self, text: str) -> str:
        """Return the last line with the text."""
        with self._news:
            return self._with(text)[-1]

    def _with(self, text: str) -> list[str]:
        return [line for line in self._lines if text in line]

    def _collect(self, stream: IO[str]) -> None:
        for line in stream:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@contextmanager
def _running(arguments: list[str], environment: dict[str, str]) -> Iterator[Running]:
    script = Path(sys.executable).parent / arguments[0]
    process = subprocess.Popen(  # noqa: S603 - a script of our own
        [str(script), *arguments[1:]],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Running(process)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing of the user's own is read or written."""
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    own = {"USBSHARE_HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime), "USBSHARE_CONFIG": ""}
    return {**os.environ, **own}


if __name__ == "__main__":
    main()
