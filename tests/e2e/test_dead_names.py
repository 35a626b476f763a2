"""A name outlives its killed process, never so that it leads to somebody else's machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.job_rig import until
from fakes.ordinary_user import as_ordinary_user
from fakes.processes import Process, camera_service, environment, run, running, serial_service

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="links as Linux has them")


@contextlib.contextmanager
def offered_by_bridge(home: Path) -> Iterator[tuple[Process, Path]]:
    link = home / "COM10"
    with serial_service(home) as (_, target):
        arguments = ["bridge", "--target", target, "--vcom", str(link), "--json"]
        with running(arguments, home) as bridge:
            bridge.wait_for('"ready"')
            yield bridge, link


@contextlib.contextmanager
def offered_by_simulator(home: Path) -> Iterator[tuple[Process, Path]]:
    link = home / "ttyGRBL"
    with running(["serial-svc", "simulate", "grbl", "--pty", str(link)], home) as simulator:
        simulator.wait_for("ready")
        yield simulator, link


Offered = Callable[[Path], contextlib.AbstractContextManager[tuple[Process, Path]]]
every_program = pytest.mark.parametrize("offered", [offered_by_bridge, offered_by_simulator])


@contextlib.contextmanager
def another_machine_at(pty: str) -> Iterator[int]:
    """Make ptys, as terminals and other bridges do, until one has that number; yields its master.

    The kernel gives the lowest number that is free (pty_unix98, devpts_new_index: ida_alloc_max).
    """
    made: list[tuple[int, int]] = []
    end = time.monotonic() + 60
    try:
        while not made or os.ttyname(made[-1][1]) != pty:
            assert time.monotonic() < end, f"nobody got {pty}"
            made.append(os.openpty())
        os.set_blocking(made[-1][0], False)
        yield made[-1][0]
    finally:
        for descriptor in sum(made, ()):
            os.close(descriptor)


def write_to(path: Path, data: bytes) -> None:
    """Write as a program does that has the name in its settings."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


@every_program
def test_a_killed_programs_name_never_leads_to_another_machine(
    tmp_path: Path, offered: Offered
) -> None:
    with offered(tmp_path) as (program, link):
        write_to(link, b"?")
        pty = os.path.realpath(link)
        assert pty.startswith("/dev/pts/")
        assert program.stop(signal.SIGKILL) == -signal.SIGKILL
        with another_machine_at(pty) as machine:
            with pytest.raises(OSError):  # noqa: PT011 - ENOENT, EIO: whatever, but not open
                write_to(link, b"G1 X100 S1000\n")
            with pytest.raises(BlockingIOError):
                os.read(machine, 100)


@every_program
@pytest.mark.parametrize("starting", ["bridge", "serial-svc", "camera-svc", "simulate"])
def test_any_program_that_starts_removes_what_a_killed_one_left(
    tmp_path: Path, offered: Offered, starting: str
) -> None:
    with offered(tmp_path) as (program, link):
        program.stop(signal.SIGKILL)
        assert link.is_symlink()
        if starting == "bridge":
            run(["bridge", "list", "--target", "127.0.0.1:9", "--timeout", "0.1"], tmp_path)
        elif starting == "serial-svc":
            with serial_service(tmp_path):
                pass
        elif starting == "camera-svc":
            with camera_service(tmp_path):
                pass
        else:
            other = str(tmp_path / "another")
            with running(["serial-svc", "simulate", "marlin", "--pty", other], tmp_path) as second:
                second.wait_for("ready")
        assert not link.is_symlink()


@every_program
def test_a_live_programs_name_is_never_removed(tmp_path: Path, offered: Offered) -> None:
    with offered(tmp_path) as (_, link):
        target = os.readlink(link)
        run(["bridge", "list", "--target", "127.0.0.1:9", "--timeout", "0.1"], tmp_path)
        assert os.readlink(link) == target
        write_to(link, b"?")


@every_program
def test_a_name_is_free_again_at_once_for_the_next(tmp_path: Path, offered: Offered) -> None:
    with offered(tmp_path) as (program, link):
        program.stop(signal.SIGKILL)
        arguments = ["serial-svc", "simulate", "grbl", "--pty", str(link)]
        with running(arguments, tmp_path) as second:
            second.wait_for("ready")
            write_to(link, b"?")
        assert not link.is_symlink()


GUARDED = """
import os, sys, time
from usbshare.line import name_link
name_link._O_PATH = 0  # as on macOS, which has neither O_PATH nor /proc
link, (master, slave) = name_link.NameLink(sys.argv[1]), os.openpty()
link.claim()
for _ in range(3):  # as after hang-ups
    link.show(os.ttyname(slave))
    master, slave = os.openpty()
link.show(os.ttyname(slave))
print(os.readlink(sys.argv[1]), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_without_proc_a_guard_removes_the_name_of_a_killed_program(
    tmp_path: Path, number: signal.Signals
) -> None:
    link = tmp_path / "COM10"
    command = [sys.executable, "-c", GUARDED, str(link)]
    surroundings = {**os.environ, **environment(tmp_path)}
    with subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().startswith("/dev/pts/")
        holder.send_signal(number)
        holder.wait(60)
        until(lambda: not link.is_symlink(), "the guard removes the link")
        # It does so with the name's lock, so that the next one need not fear for its own.
        with subprocess.Popen(
            command, env=surroundings, stdout=subprocess.PIPE, text=True
        ) as next_:
            assert next_.stdout is not None
            assert next_.stdout.readline().strip() == os.readlink(link)
            next_.kill()


QT = """
import fcntl, os, sys, termios
uses = 0
while uses < 50:
    try:
        descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        print("refused:", error, file=sys.stderr)
        continue
    try:
        fcntl.ioctl(descriptor, termios.TIOCEXCL)
        termios.tcsetattr(descriptor, termios.TCSANOW, termios.tcgetattr(descriptor))
        os.write(descriptor, b"?")
        fcntl.ioctl(descriptor, termios.TIOCNXCL)
        uses += 1
    except (OSError, termios.error) as error:
        print("hung up:", error, file=sys.stderr)
    os.close(descriptor)
"""


def test_a_bridge_of_an_ordinary_user_outlives_programs_that_open_exclusively(
    tmp_path: Path,
) -> None:
    link = tmp_path / "COM10"
    surroundings = {**os.environ, **environment(tmp_path), "PYTHONUNBUFFERED": "1"}
    script = str(Path(sys.executable).parent / "usbshare-bridge")
    qt = as_ordinary_user([sys.executable, "-c", QT, str(link)])
    with serial_service(tmp_path) as (_, target):
        command = as_ordinary_user([script, "--target", target, "--vcom", str(link), "--json"])
        with subprocess.Popen(
            command, env=surroundings, stdout=subprocess.PIPE, text=True
        ) as bridge:
            try:
                assert bridge.stdout is not None
                next(line for line in bridge.stdout if '"ready"' in line)
                for _ in range(3):
                    subprocess.run(qt, check=True, timeout=60)
                assert bridge.poll() is None
                write_to(link, b"?")
            finally:
                bridge.terminate()
