"""`bridge stop` as a user runs it, while a program of another bridge uses the machine."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from fakes.job_rig import unlock
from fakes.processes import run, running, serial_service

DEADLINE_S = 60.0
TIMES = r"round trip \d+\.\d ms, written after \d+\.\d ms, drained"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "record.jsonl"


@pytest.fixture
def target(tmp_path: Path, record: Path) -> Iterator[str]:
    configuration = tmp_path / "usbshare.toml"
    configuration.write_text(
        f'[ports.laser]\nsource = "sim://grbl?record={record}"\nprofile = "grbl"\n'
    )
    with serial_service(tmp_path, "--config", str(configuration)) as (_, target):
        yield target


def stop(home: Path, target: str, *options: str) -> tuple[int, str]:
    return run(["bridge", "stop", "--target", target, *options], home)


def opened(home: Path) -> serial.Serial:
    return serial.Serial(
        str(home / "run/usbshare/COM10"), 115200, timeout=DEADLINE_S, write_timeout=DEADLINE_S
    )


def answer(port: serial.Serial, line: bytes, last: bytes = b"ok") -> bytes:
    port.write(line)
    return port.read_until(last + b"\r\n")


def read_until_gone(port: serial.Serial) -> None:
    """Read as a program that waits for the machine; raises once its port has vanished."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        port.read(1)


def test_an_emergency_stop_hangs_up_the_program_of_another_and_latches_until_re_armed(
    tmp_path: Path, target: str, record: Path
) -> None:
    with running(["bridge", "--target", target, "--vcom", "COM10"], tmp_path) as bridge:
        bridge.wait_for("ready: open")
        with opened(tmp_path) as port:
            assert answer(port, b"$J=G91X500F600\n").endswith(b"ok\r\n")
            code, output = stop(tmp_path, target, "--reason", "smoke")
            assert code == 0
            assert re.fullmatch(
                rf"emergency stop on port 'laser': sent 0x18, fenced 0 commands; {TIMES}.*; the "
                rf"port is latched until `usbshare-bridge stop --rearm --target {target} "
                r"--epoch \d+`",
                output,
            )
            with pytest.raises((serial.SerialException, OSError)):
                read_until_gone(port)
            with pytest.raises(serial.SerialException):
                port.write(b"G1X10\n")
        bridge.wait_for(
            r"was hung up: an emergency stop by \S+ at .* \(smoke\) has latched the port"
        )
        with opened(tmp_path) as port:
            port.write(b"G1X11F100\n")
            bridge.wait_for("bytes were (latched|refused|fenced)")
        code, output = stop(tmp_path, target, "--rearm")
        assert code == 0, output
        assert re.fullmatch(
            r"port 'laser' accepts programs again \(epoch \d+\); it was stopped by "
            r"usbshare://\S+ at [\d-]+ [\d:]+ UTC \(smoke\)",
            output,
        )
        with opened(tmp_path) as port:
            unlock(port.fileno())
        assert bridge.stop() == 0
    written = received(record)
    assert written.count(b"\x18") == 1
    assert b"G1X1" not in written


def received(record: Path) -> bytes:
    entries = [json.loads(line) for line in record.read_text().splitlines()]
    return b"".join(bytes.fromhex(entry.get("rx", "")) for entry in entries)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_bridge_has_a_second_connection_ready_for_stops_and_an_observer_has_none(
    tmp_path: Path, target: str
) -> None:
    port = int(target.rpartition(":")[2])
    with running(["bridge", "--target", target, "--vcom", "COM10"], tmp_path) as bridge:
        bridge.wait_for("ready: open")
        wait_for_connections(port, 2)
        observer = ["bridge", "--target", target, "--vcom", "COM11", "--observe"]
        with running(observer, tmp_path) as watching:
            watching.wait_for("observing: open")
            wait_for_connections(port, 3)
        assert bridge.stop() == 0
        assert "Traceback" not in bridge.output


def wait_for_connections(port: int, count: int) -> None:
    end = time.monotonic() + DEADLINE_S
    while (found := connections_to(port)) != count:
        assert time.monotonic() < end, f"{found} connections, not {count}"
        time.sleep(0.02)


def connections_to(port: int) -> int:
    """Return how many established TCP connections lead there, as the kernel says."""
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def test_a_hold_and_a_resume_need_no_session_and_do_not_latch(tmp_path: Path, target: str) -> None:
    code, output = stop(tmp_path, target, "--hold", "--port", "laser")
    assert code == 0
    assert re.fullmatch(
        rf"hold on port 'laser': sent !; {TIMES}.*; not latched: "
        rf"`usbshare-bridge stop --resume --target {target} --port laser "
        r"--epoch \d+ --hold-number 1` continues",
        output,
    )
    named = re.findall(r"--epoch \d+ --hold-number \d+", output)[0].split()
    assert stop(tmp_path, target, "--door")[1].startswith(
        "safety door on port 'laser': sent 0x84; "
    )
    code, output = stop(tmp_path, target, "--resume", *named)
    assert (code, "was stopped or held again since" in output) == (1, True), output
    code, output = stop(tmp_path, target, "--resume")
    assert code == 0, output
    assert output.splitlines()[-1].startswith("resume on port 'laser': sent ~; ")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--hold", "--rearm"], 2, "at most one of '--hold'"),
        (["--resume", "--epoch", "1"], 2, "both '--epoch' and '--hold-number'"),
        (["--rearm", "--epoch", "1", "--hold-number", "1"], 2, "'--resume' takes both"),
        (["--port", "nope"], 1, "bridge: no port 'nope' here; available: laser"),
    ],
)
def test_the_reason_is_printed_before_the_last_resort(
    tmp_path: Path, target: str, options: list[str], code: int, said: str
) -> None:
    found, output = stop(tmp_path, target, *options)
    assert found == code
    why, words = output.splitlines()[-2:]
    assert said in why
    assert words.endswith(" not confirmed: use the machine's own emergency stop")
    assert "Traceback" not in output


def test_a_host_that_is_not_there_names_the_last_resort(tmp_path: Path) -> None:
    code, output = stop(tmp_path, "127.0.0.1:9", "--insecure")
    assert code == 1
    why, words = output.splitlines()[-2:]
    assert "nothing listens at 127.0.0.1:9" in why
    assert words.endswith(" not confirmed: use the machine's own emergency stop")
