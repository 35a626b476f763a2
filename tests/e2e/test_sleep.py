"""A PC that sleeps while a job runs: at each kind of port nothing goes on when it wakes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fakes.job_rig import FrontEnd, Program, Rig, rig, until
from fakes.machine import DOOR, simulated_machine
from fakes.processes import events, run, running, serial_service
from usbshare.bridge.demo.engraving import engraving_lines

pytestmark = pytest.mark.apart

LINK_TIMEOUT_S = 2.0  # a busy machine leaves a process a second without its turn
# A program that imports the bridge beats beside its own work: on a busy machine not every second.
PROGRAM_TIMEOUT_S = 3.0
SLEEP_S = 4.0
FRONT_ENDS: tuple[FrontEnd, ...] = ("vcom", "tcp", "rfc2217")
REALTIME = b"\x18!~?\x84\x85"
RESET, RESUME = b"\x18", b"~"
SHORT_MOVES = ["G21", "G90", "M4 S500", *(f"G1 X{n % 7} Y{n % 5} F6000" for n in range(100)), "M5"]
LONG_MOVES = ["M4 S500", *(f"G1 X{n % 9} Y{n % 5} F600" for n in range(1000))]


def passes(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, "time passes")


def sleeps(rig: Rig, meanwhile: Callable[[], object], sleep_s: float = SLEEP_S) -> None:
    """Let the PC sleep."""
    began = time.monotonic()
    rig.bridge.process.send_signal(signal.SIGSTOP)
    try:
        meanwhile()
        until(lambda: DOOR in rig.machine.received(), "the machine is held")
        until(lambda: time.monotonic() > began + sleep_s, "it sleeps")
    finally:
        rig.bridge.process.send_signal(signal.SIGCONT)


def program_of(received: bytes) -> bytes:
    return received.translate(None, REALTIME)


def written(lines: list[str]) -> bytes:
    return b"".join(line.encode() + b"\n" for line in lines)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_job_waits_for_a_person_when_its_pc_wakes(tmp_path: Path, front_end: FrontEnd) -> None:
    lines = engraving_lines()[:600]
    with rig(tmp_path, front_end=front_end, link_timeout_s=LINK_TIMEOUT_S) as used:
        job = used.job(lines)
        until(lambda: job.answered > 200, "the job runs")
        # The person presses the program's button too soon: nobody is there to carry it out.
        sleeps(used, job.resume)
        until(lambda: events(used.bridge, "resumed"), "the session is taken up again")
        until(lambda: events(used.bridge, "held"), "that it is held is told")
        came, answered = used.machine.received(), job.answered
        passes(1.5)
        assert used.machine.received() == came
        assert RESUME not in came
        assert used.machine.beam_in_hold() == 0
        job.resume()
        until(lambda: job.answered > answered or not job.is_alive(), "the job goes on")
        job.finish()
        assert job.failure == ""
        assert program_of(used.machine.received()) == written(lines)
        job.program.close()


@contextmanager
def fast_and_far(home: Path, front_end: FrontEnd) -> Iterator[Rig]:
    """Run a machine whose service takes more at once than the bridge reads ahead."""
    with rig(home, front_end=front_end, link_timeout_s=LINK_TIMEOUT_S, baud=1_000_000) as used:
        for way in (used.proxy.up, used.proxy.down):
            way.delay_s = 0.1
        passes(2)
        yield used


@contextmanager
def writing(program: Program, data: bytes) -> Iterator[None]:
    """Write more than a port may hold."""
    thread = threading.Thread(target=program.write, args=(data,), daemon=True)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("last", [RESUME, b"(new)\n" + RESET + b"M4 S500\nG1 X1 F60\n" + RESUME])
def test_the_last_bytes_written_during_sleep_continue_no_job(
    tmp_path: Path, front_end: FrontEnd, last: bytes
) -> None:
    many = b"".join(b"G1 X%d Y%d\n" % (200 + n % 90, n % 90) for n in range(1000))
    with fast_and_far(tmp_path, front_end) as used:
        program = used.program()
        program.write(b"G1 X300 F60 S1000 M4\n")
        until(lambda: used.machine.has(b"G1 X300"), "it moves")
        began = time.monotonic()
        used.bridge.process.send_signal(signal.SIGSTOP)
        with writing(program, many + last):
            until(lambda: DOOR in used.machine.received(), "the machine is held")
            until(lambda: time.monotonic() > began + SLEEP_S, "it sleeps")
            used.bridge.process.send_signal(signal.SIGCONT)
            until(lambda: events(used.bridge, "resumed"), "the session is taken up again")
        passes(3)
        came = used.machine.received()
        assert DOOR in came
        assert RESUME not in came
        assert program_of(came) == b"G1 X300 F60 S1000 M4\n"
        assert used.machine.beam_in_hold() == 0
        program.write(RESUME)
        first = b"M4 S500" if RESET in last else b"G1 X200"
        until(lambda: used.machine.has(first), "a person lets it go on")
        program.close()


def test_a_job_that_begins_with_a_reset_while_the_link_is_cut_waits_too(tmp_path: Path) -> None:
    with rig(tmp_path, link_timeout_s=LINK_TIMEOUT_S) as used:
        program = used.program()
        program.write(b"G1 X300 F60 S1000 M4\n")
        until(lambda: used.machine.has(b"G1 X300"), "it moves")
        used.proxy.refuse()
        used.proxy.cut(rst=True)
        until(lambda: events(used.bridge, "lost"), "the link is lost")
        until(lambda: DOOR in used.machine.received(), "the machine is held")
        program.write(b"(old)\n\x18$X\nM4 S500\nG1 X10 F60\n")
        used.proxy.heal()
        until(lambda: events(used.bridge, "resumed"), "the session is taken up again")
        until(lambda: RESET in used.machine.received(), "its reset arrives")
        passes(2)
        assert not used.machine.has(b"G1 X10")
        program.write(RESUME)
        until(lambda: used.machine.has(b"G1 X10"), "a person lets it go on")
        program.close()


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_job_that_begins_with_a_reset_in_the_sleep_waits_too(
    tmp_path: Path, front_end: FrontEnd
) -> None:
    with rig(tmp_path, front_end=front_end, link_timeout_s=LINK_TIMEOUT_S) as used:
        program = used.program()
        program.write(b"G1 X300 F60 S1000 M4\n")
        until(lambda: used.machine.has(b"G1 X300"), "it moves")
        sleeps(used, lambda: program.write(b"(old)\n\x18$X\nM4 S500\nG1 X10 F60\n"))
        until(lambda: events(used.bridge, "resumed"), "the session is taken up again")
        until(lambda: RESET in used.machine.received(), "its reset arrives")
        woke = time.monotonic()
        passes(2)
        assert not used.machine.has(b"G1 X10")
        assert not used.machine.has(b"(old)")
        assert used.machine.beam_on_between(woke, time.monotonic()) == 0
        program.write(RESUME)
        until(lambda: used.machine.has(b"G1 X10"), "a person lets it go on")
        program.close()


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_sleep_beyond_the_window_ends_the_job_with_a_message(
    tmp_path: Path, front_end: FrontEnd
) -> None:
    lines = engraving_lines()[:400]
    with rig(
        tmp_path, front_end=front_end, link_timeout_s=LINK_TIMEOUT_S, resume_window_s=1
    ) as used:
        job = used.job(lines)
        until(lambda: job.answered > 200, "the job runs")
        sleeps(used, lambda: None)
        job.finish()
        assert job.failure, "the program learns of it"
        until(lambda: events(used.bridge, "hung_up"), "and so does the person")
        until(lambda: RESET in used.machine.received(), "the machine of the lost job is reset")
        with suppress(OSError):
            job.program.close()
        refused = used.program()
        refused.write(b"(refused)\n")
        until(lambda: events(used.bridge, "refused"), "that it is refused is told")
        refused.close()
        code, output = run(["bridge", "stop", "--rearm", "--target", used.service_target], tmp_path)
        assert code == 0, output
        before = len(used.machine.received())
        again = used.job(["$X", *lines])
        again.finish()
        assert again.failure == ""
        after = program_of(used.machine.received()[before:])
        assert after == written(["$X", *lines])
        again.program.close()


_PYSERIAL_JOB = """
import sys, serial, usbshare.bridge.pyserial as usbshare
usbshare.register()
url, path = sys.argv[1:]
lines = [line.encode() + b"\\n" for line in open(path).read().splitlines()]
try:
    with serial.serial_for_url(url, 115200, timeout=60, write_timeout=60) as port:
        for number, line in enumerate(lines):
            port.write(line)
            port.flush()
            answer = port.read_until(b"ok\\r\\n")
            if number == 50:
                print("at work", flush=True)
            if not answer.endswith(b"ok\\r\\n"):
                sys.exit(f"answered {answer!r}")
except serial.SerialException as error:
    sys.exit(f"SerialException: {error}")
print("done", flush=True)
"""


def test_a_pyserial_program_that_slept_is_told_and_its_job_is_lost(tmp_path: Path) -> None:
    job = tmp_path / "job.gcode"
    job.write_text("\n".join(LONG_MOVES))
    with simulated_machine(tmp_path) as machine:
        config = tmp_path / "serial.toml"
        config.write_text(
            f'[ports.laser]\nsource = "{machine.path}"\nprofile = "grbl"\n'
            f"link_timeout_s = {PROGRAM_TIMEOUT_S}\n"
        )
        with serial_service(tmp_path, "--config", str(config)) as (_, target):
            command = ["python", "-c", _PYSERIAL_JOB, f"usbshare://{target}/laser", str(job)]
            with running(command, tmp_path) as program:
                program.wait_for("at work")
                began = time.monotonic()
                program.process.send_signal(signal.SIGSTOP)
                until(lambda: DOOR in machine.received(), "the machine is held")
                until(lambda: time.monotonic() > began + PROGRAM_TIMEOUT_S + SLEEP_S, "it sleeps")
                program.process.send_signal(signal.SIGCONT)
                assert program.wait() != 0
                assert "SerialException: " in program.output
            came = machine.received()
            assert DOOR in came
            code, output = run(command, tmp_path)
            assert (code, "re-arm it" in output) == (1, True), output
            until(lambda: RESET in machine.received(), "the machine of the lost job is reset")
            assert program_of(machine.received()) == program_of(came)
            assert machine.beam_in_hold() == 0
            code, output = run(["bridge", "stop", "--rearm", "--target", target], tmp_path)
            assert code == 0, output
            before = len(machine.received())
            job.write_text("\n".join(["$X", *SHORT_MOVES]))
            code, output = run(command, tmp_path)
            assert (code, output) == (0, "at work\ndone")
            assert program_of(machine.received()[before:]) == written(["$X", *SHORT_MOVES])
