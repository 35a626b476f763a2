"""A program's own stops through a real bridge: in order, and its port stays open."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import serial

from fakes.job_rig import FrontEnd, open_port, rig, until
from fakes.machine import Machine, simulated_machine
from fakes.processes import Process, run, running, serial_service

TIMES = 100
GRBL_REALTIME = b"\x18!~?\x84"


@contextmanager
def bridged(home: Path, *port: str) -> Iterator[tuple[Machine, Process, str]]:
    """Run a machine, its service and a bridge to it."""
    with simulated_machine(home) as machine:
        config = home / "serial.toml"
        config.write_text(f'[ports.laser]\nsource = "{machine.path}"\nprofile = "grbl"\n')
        with (
            serial_service(home, "--config", str(config)) as (_, target),
            running(["bridge", "--target", target, "--json", *port], home) as bridge,
        ):
            bridge.wait_for('"ready"')
            yield machine, bridge, target


def where_it_listens(bridge: Process, kind: str) -> tuple[str, int]:
    found = bridge.wait_for(rf"{kind}://(127\.0\.0\.1):([1-9]\d*)")
    return found[1], int(found[2])


def reset_often(machine: Machine, write: Callable[[bytes], object], times: int) -> None:
    """Write a line, 0.3 ms later a reset, and at once what comes after it."""
    for number in range(times):
        new = b"(new %d)\n" % number
        write(b"(old %d)\n" % number)
        time.sleep(0.0003)
        write(b"\x18")
        write(new)
        until(partial(contains, machine, new), f"new {number}")


def contains(machine: Machine, data: bytes) -> bool:
    return machine.has(data)


def check(received: bytes, times: int) -> None:
    pieces = received.split(b"\x18")
    assert len(pieces) == times + 1
    for number, piece in enumerate(pieces[1:]):
        program = piece.translate(None, GRBL_REALTIME)
        assert re.match(rb"[\r\n]*\(new %d\)\n" % number, program), (number, piece)
        assert b"(old %d)" % number not in program, (number, piece)


def test_a_program_that_resets_keeps_its_port_and_what_it_writes_after(tmp_path: Path) -> None:
    with bridged(tmp_path, "--vcom", str(tmp_path / "COM10")) as (machine, bridge, target):
        port = open_port(tmp_path / "COM10")
        reset_often(machine, lambda data: os.write(port, data), TIMES)
        check(machine.received(), TIMES)
        assert "hung_up" not in bridge.output
        assert '"closed"' not in bridge.output
        code, output = run(["bridge", "stop", "--rearm", "--target", target], tmp_path)
        assert (code, "is not latched" in output) == (0, True)
        os.close(port)


def test_resumes_and_holds_arrive_in_the_order_written(tmp_path: Path) -> None:
    with bridged(tmp_path, "--vcom", str(tmp_path / "COM10")) as (machine, _, _):
        port = open_port(tmp_path / "COM10")
        wrote = b""
        for number in range(TIMES):
            os.write(port, b"(line %d)\n" % number)
            for byte in (b"~", b"!") if number % 2 else (b"~!",):
                os.write(port, byte)
            os.write(port, b"~")
            wrote += b"~!~"
        until(lambda: machine.received().count(b"~") == 2 * TIMES, "all of them")
        realtime = bytes(byte for byte in machine.received() if byte in b"~!")
        assert realtime == wrote
        until(lambda: machine.has(b"(line %d)" % (TIMES - 1)), "the last line")
        os.close(port)


@pytest.mark.parametrize("front_end", ["tcp", "rfc2217"])
def test_resumes_and_holds_keep_their_order_over_the_network(
    tmp_path: Path, front_end: FrontEnd
) -> None:
    with rig(tmp_path, front_end=front_end) as used:
        program = used.program()
        for number in range(20):
            program.write(b"(line %d)\n" % number)
            for data in (b"~", b"!") if number % 2 else (b"~!",):
                program.write(data)
            program.write(b"~(after %d)\n" % number)
        until(partial(contains, used.machine, b"(after 19)\n"), "a resume lets the lines go on")
        received = used.machine.received()
        assert bytes(byte for byte in received if byte in b"~!") == b"~!~" * 20
        lines = b"".join(b"(line %d)\n(after %d)\n" % (number, number) for number in range(20))
        assert received.translate(None, GRBL_REALTIME) == lines
        program.close()


def test_a_program_over_tcp_keeps_its_connection_too(tmp_path: Path) -> None:
    with bridged(tmp_path, "--tcp", "127.0.0.1:0") as (machine, bridge, _):
        with socket.create_connection(where_it_listens(bridge, "tcp")) as program:
            program.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reset_often(machine, program.sendall, 20)
            program.setblocking(False)
            assert program.recv(1 << 20), "what the machine said, not an end"
        check(machine.received(), 20)
        assert "hung_up" not in bridge.output


def test_a_program_over_rfc_2217_keeps_its_connection_too(tmp_path: Path) -> None:
    with bridged(tmp_path, "--rfc2217", "127.0.0.1:0") as (machine, bridge, _):
        host, port = where_it_listens(bridge, "rfc2217")
        with serial.serial_for_url(f"rfc2217://{host}:{port}", timeout=30) as line:
            reset_often(machine, line.write, 20)
        check(machine.received(), 20)
        assert "hung_up" not in bridge.output


def test_a_pyserial_program_without_a_virtual_port_resets_too(tmp_path: Path) -> None:
    with simulated_machine(tmp_path) as machine:
        config = tmp_path / "serial.toml"
        config.write_text(f'[ports.laser]\nsource = "{machine.path}"\nprofile = "grbl"\n')
        with serial_service(tmp_path, "--config", str(config)) as (_, target):
            program = (
                "import serial, time, usbshare.bridge.pyserial as usbshare\n"
                "usbshare.register()\n"
                f"line = serial.serial_for_url('usbshare://{target}/laser')\n"
                "for number in range(20):\n"
                "    line.write(b'(old %d)\\n' % number)\n"
                "    time.sleep(0.0003)\n"
                "    line.write(b'\\x18')\n"
                "    line.write(b'(new %d)\\n' % number)\n"
                "    line.flush()\n"
                "line.close()\n"
            )
            code, output = run(["python", "-c", program], tmp_path)
            assert code == 0, output
            # Each reset flushes what the machine has not read, the reset before it too.
            *_, last = machine.received().split(b"\x18")
            found = last.translate(None, GRBL_REALTIME).lstrip(b"\r\n")
            assert found == b"(new 19)\n"
