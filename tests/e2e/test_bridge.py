"""The two commands as a user runs them: real processes, real mTLS, real ptys."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import select
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from fakes.job_rig import until
from fakes.processes import (
    SEND,
    Process,
    environment,
    free_port,
    run,
    running,
    serial_service,
    simulated,
)

DEADLINE_S = 60.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Process, str]]:
    with serial_service(tmp_path) as (process, target):
        yield process, target


@pytest.fixture
def target(service: tuple[Process, str]) -> str:
    return service[1]


def bridge_arguments(target: str, *more: str) -> list[str]:
    return ["bridge", "--target", target, "--vcom", "COM10", *more]


def vcom(home: Path, name: str = "COM10") -> str:
    return str(home / "run" / "usbshare" / name)


def ask(port: serial.Serial, line: bytes) -> list[bytes]:
    """Send a line and return what comes up to ok or error: the answer, and maybe the banner."""
    port.write(line)
    answer: list[bytes] = []
    while not answer or not answer[-1].startswith((b"ok", b"error")):
        got = port.readline()
        assert got.endswith(b"\n"), f"no end of the answer to {line!r}: {answer} {got!r}"
        answer.append(got.strip())
    return answer


def test_an_unmodified_program_talks_to_the_machine(tmp_path: Path, target: str) -> None:
    with running(bridge_arguments(target), tmp_path) as bridge:
        bridge.wait_for("ready: open")
        with serial.Serial(vcom(tmp_path), 115200, timeout=DEADLINE_S) as port:
            settings = ask(port, b"$$\n")
            assert b"$32=1" in settings
            port.write(b"?")
            assert port.readline().startswith(b"<Idle|MPos:0.000,0.000,0.000")
            assert ask(port, b"$J=G91 X5 F3000\n")[-1] == b"ok"
        assert bridge.stop() == 0
    assert not Path(vcom(tmp_path)).is_symlink()


def test_several_programs_one_after_another(tmp_path: Path, target: str) -> None:
    with running(bridge_arguments(target), tmp_path) as bridge:
        bridge.wait_for("ready: open")
        for _ in range(3):
            with serial.Serial(vcom(tmp_path), 115200, timeout=DEADLINE_S) as port:
                assert any(line.startswith(b"[VER:1.1h") for line in ask(port, b"$I\n"))
        assert "reset" not in bridge.output


def test_the_list_shows_the_port_and_who_holds_it(tmp_path: Path, target: str) -> None:
    code, output = run(["bridge", "list", "--target", target], tmp_path)
    assert code == 0
    assert "demo" in output
    with running(bridge_arguments(target), tmp_path) as bridge:
        bridge.wait_for("ready: open")
        _, output = run(["bridge", "list", "--target", target, "--json"], tmp_path)
        (port,) = json.loads(output)
        assert "operator" in port["holder"]
        assert port["state"] == "open"


def test_send_prints_the_answer(tmp_path: Path, target: str) -> None:
    command = ["bridge", *SEND, "--target", target, "--priority", "high", "$I"]
    code, output = run(command, tmp_path)
    assert code == 0
    assert "[VER:1.1h" in output
    assert "\nok" in output


def test_a_second_bridge_is_refused_and_an_observer_is_not(tmp_path: Path, target: str) -> None:
    with running(bridge_arguments(target), tmp_path) as bridge:
        bridge.wait_for("ready: open")
        code, output = run(["bridge", "--target", target, "--vcom", "COM11"], tmp_path)
        assert code == 1
        assert "port 'demo' is held by usbshare://" in output
        assert "Traceback" not in output
        observer = ["bridge", "--target", target, "--vcom", "COM12", "--observe"]
        with running(observer, tmp_path) as watching:
            watching.wait_for("observing: open")
            with (
                serial.Serial(vcom(tmp_path, "COM12"), 115200, timeout=DEADLINE_S) as ear,
                serial.Serial(vcom(tmp_path), 115200, timeout=DEADLINE_S) as mouth,
            ):
                watching.wait_for("a program opened")
                mouth.write(b"$I\n")
                heard = iter(ear.readline, b"")
                assert any(line.startswith(b"[VER:1.1h") for line in heard)


def test_the_programs_baud_reaches_the_port(tmp_path: Path, target: str) -> None:
    with running(bridge_arguments(target), tmp_path) as bridge:
        bridge.wait_for("ready: open")
        with serial.Serial(vcom(tmp_path), 57600, timeout=DEADLINE_S) as port:
            end = time.monotonic() + DEADLINE_S
            while listed_baud(tmp_path, target) != 57600:
                assert time.monotonic() < end
            port.baudrate = 250000
            while listed_baud(tmp_path, target) != 250000:
                assert time.monotonic() < end


def listed_baud(home: Path, target: str) -> int:
    _, output = run(["bridge", "list", "--target", target, "--json"], home)
    return int(json.loads(output)[0]["baud"])


def test_events_are_json_lines_for_programs(tmp_path: Path, target: str) -> None:
    with running(bridge_arguments(target, "--json"), tmp_path) as bridge:
        bridge.wait_for('"event": "ready"')
        bridge.wait_for('"event": "status".*"now_ms"')
        events = [json.loads(line) for line in bridge.lines if line.startswith("{")]
        assert {"connected", "ready", "status"} <= {event["event"] for event in events}


def test_the_bridge_comes_back_when_the_service_does(tmp_path: Path) -> None:
    """Its program only asked, and has its answer: no job is lost, and nobody is needed."""
    listen = ("--listen", f"127.0.0.1:{free_port()}")
    with serial_service(tmp_path, *listen) as (_, target):
        bridge = Process(bridge_arguments(target), environment(tmp_path))
        bridge.wait_for("ready: open")
        with serial.Serial(vcom(tmp_path), 115200, timeout=DEADLINE_S) as port:
            assert ask(port, b"$I\n")[-1] == b"ok"
            at_work = tmp_path / ".local/state/usbshare/serial-svc"
            until(lambda: not list(at_work.glob("active-*/port-*")), "the answer is acknowledged")
    try:
        bridge.wait_for("link lost")
        bridge.wait_for("connecting again")
        with running(["serial-svc", *listen], tmp_path) as again:
            again.wait_for("ready at")
            bridge.wait_for("was hung up")  # each start begins an epoch
            with serial.Serial(vcom(tmp_path), 115200, timeout=DEADLINE_S) as port:
                assert ask(port, b"$I\n")[-1] == b"ok"
    finally:
        bridge.stop()


@pytest.mark.parametrize("megabytes", [1])
def test_binary_bytes_arrive_whole_both_ways(tmp_path: Path, megabytes: int) -> None:
    exchange_binary(tmp_path, megabytes)


@pytest.mark.slow
def test_fifty_megabytes_arrive_whole_both_ways(tmp_path: Path) -> None:
    exchange_binary(tmp_path, 50)


def exchange_binary(home: Path, megabytes: int) -> None:
    """Send random bytes both ways at once through everything and compare their checksums."""
    master, slave = os.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[0] = attributes[1] = attributes[3] = 0
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    config = home / "usbshare.toml"
    config.write_text(
        f'[ports.laser]\nsource = "{os.ttyname(slave)}"\nprofile = "raw"\nbaud = 12000000\n'
    )
    with (
        serial_service(home, "--config", str(config)) as (_, target),
        running(bridge_arguments(target), home) as bridge,
    ):
        bridge.wait_for("ready: open")
        os.close(slave)
        with serial.Serial(vcom(home), 12_000_000, timeout=DEADLINE_S) as port:
            bridge.wait_for("a program opened")
            # pyserial flushes as it opens, which takes effect when it arrives at the host: before
            # what the program writes next. What a device sends unasked until then is void.
            port.write(b"?")
            ready, _, _ = select.select([master], [], [], DEADLINE_S)
            assert ready
            assert os.read(master, 1) == b"?"
            size = megabytes << 20
            there = Pump(master, port.fileno(), size, seed=1)
            back = Pump(port.fileno(), master, size, seed=2)
            for pump in (there, back):
                pump.start()
            for pump in (there, back):
                pump.finish()
    os.close(master)


class Pump:
    """Writes random bytes into one descriptor and reads them out of another, in two threads."""

    def __init__(self, source: int, sink: int, size: int, seed: int) -> None:
        self._source, self._sink, self._size = source, sink, size
        self._random = random.Random(seed)
        self._sent, self._received = hashlib.sha256(), hashlib.sha256()
        self._count = 0
        self._threads = [
            threading.Thread(target=self._write, daemon=True),
            threading.Thread(target=self._read, daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        for thread in self._threads:
            thread.join(1200)
        assert self._count == self._size
        assert self._sent.digest() == self._received.digest()

    def _write(self) -> None:
        left = self._size
        while left:
            data = self._random.randbytes(min(left, self._random.randint(1, 5000)))
            self._sent.update(data)
            left -= len(data)
            while data:
                select.select([], [self._source], [], DEADLINE_S)
                data = data[os.write(self._source, data) :]

    def _read(self) -> None:
        while self._count < self._size:
            ready, _, _ = select.select([self._sink], [], [], DEADLINE_S)
            if not ready:
                return
            data = os.read(self._sink, 65536)
            self._count += len(data)
            self._received.update(data)


def test_a_simulated_machine_on_a_pty_can_be_shared(tmp_path: Path) -> None:
    with simulated("grbl", tmp_path) as (device, record):
        config = tmp_path / "usbshare.toml"
        config.write_text(f'[ports.laser]\nsource = "{device}"\nprofile = "grbl"\n')
        with serial_service(tmp_path, "--config", str(config)) as (_, target):
            code, output = run(["bridge", *SEND, "--target", target, "G1 X1 F600 S10"], tmp_path)
            assert (code, output.splitlines()[0]) == (0, "ok")
        received = [json.loads(line) for line in record.read_text().splitlines()]
        sent = b"".join(bytes.fromhex(entry["rx"]) for entry in received if "rx" in entry)
        assert sent.endswith(b"G1 X1 F600 S10\n")


def test_send_takes_realtime_bytes_and_silence_for_an_answer(tmp_path: Path, target: str) -> None:
    send = ["bridge", *SEND, "--target", target]
    assert run([*send, "$I"], tmp_path)[0] == 0
    code, output = run([*send, "?"], tmp_path)
    assert code == 0
    assert output.startswith("<Idle|")
    assert "ok" not in output
    code, output = run([*send, "--quiet", "0.1", "!"], tmp_path)
    # The machine answers none; its service asks after a hold, and may hear of it that soon.
    assert (code, bool(re.match(r"(<Hold[^>]*>\n)?waited ", output))) == (0, True), output
