"""Python programs with pyserial and a usbshare:// URL, against a real service."""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import serial

import usbshare.bridge.pyserial as usbshare
from fakes.processes import Process, environment, run, serial_service, simulated

DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    usbshare.register()
    yield
    serial.protocol_handler_packages.remove("usbshare.bridge.pyserial")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def target(home: Path) -> Iterator[str]:
    with serial_service(home) as (_, target):
        yield target


def bundle(home: Path) -> Path:
    return home / "config" / "usbshare" / "client.pem"


def url(home: Path, target: str, port: str = "", more: str = "") -> str:
    return f"usbshare://{target}/{port}?bundle={bundle(home)}{more}"


def open_port(
    url: str, baud: int = 115200, write_timeout: float | None = DEADLINE_S
) -> serial.Serial:
    return serial.serial_for_url(url, baud, timeout=DEADLINE_S, write_timeout=write_timeout)


def ask(port: serial.SerialBase, line: bytes) -> bytes:
    port.write(line)
    return port.read_until(b"ok\r\n")


@contextmanager
def on_a_pty(home: Path) -> Iterator[tuple[int, Process, str]]:
    """Serve a raw pty; yields its master, the service and the target."""
    master, slave = os.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[0] = attributes[1] = attributes[3] = 0
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    config = home / "usbshare.toml"
    config.write_text(
        f'[ports.laser]\nsource = "{os.ttyname(slave)}"\nprofile = "raw"\nbaud = 12000000\n'
    )
    try:
        with serial_service(home, "--config", str(config)) as (service, target):
            yield master, service, target
    finally:
        os.close(slave)
        os.close(master)


LOOK_UP_S = 60.0


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "usbshare" in thread.name]


def test_registering_twice_is_registering_once() -> None:
    usbshare.register()
    assert serial.protocol_handler_packages.count("usbshare.bridge.pyserial") == 1


def test_a_program_talks_to_the_machine(home: Path, target: str) -> None:
    with open_port(url(home, target, "demo")) as port:
        assert b"[VER:1.1h" in ask(port, b"$I\n")
        port.write(b"?")
        assert port.readline().startswith(b"<Idle|")
        assert port.write(b"") == 0


def test_the_only_port_needs_no_name(home: Path, target: str) -> None:
    with open_port(url(home, target)) as port:
        assert ask(port, b"$G\n").endswith(b"ok\r\n")


def test_the_bundle_of_the_configuration_folder_is_the_default(
    home: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("USBSHARE_BUNDLE", raising=False)
    monkeypatch.setenv("USBSHARE_HOME", str(bundle(home).parent))
    with open_port(f"usbshare://{target}/demo") as port:
        assert ask(port, b"\n").endswith(b"ok\r\n")


def test_a_read_ends_at_its_timeout_with_what_there_is(home: Path, target: str) -> None:
    with open_port(url(home, target)) as port:
        ask(port, b"$I\n")
        port.timeout = 0.05
        start = time.monotonic()
        assert port.read(10) == b""
        assert time.monotonic() - start >= 0.05
        port.timeout = 0
        assert port.read(10) == b""
        port.timeout = 0.5
        port.write(b"\n")
        assert port.read(10) == b"ok\r\n"


def test_a_gap_between_bytes_ends_a_read(home: Path, target: str) -> None:
    with open_port(url(home, target)) as port:
        ask(port, b"$I\n")
        port.inter_byte_timeout = 0.05
        port.write(b"\n")
        assert port.read(1000) == b"ok\r\n"


def test_a_waiting_read_can_be_cancelled(home: Path, target: str) -> None:
    with open_port(url(home, target)) as port:
        ask(port, b"$I\n")
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(port.read(1)))
        reader.start()
        port.cancel_read()
        reader.join(DEADLINE_S)
        assert got == [b""]


def test_flush_waits_until_nothing_waits(home: Path, target: str) -> None:
    with open_port(url(home, target)) as port:
        port.write(b"G4P0\n" * 100)
        port.flush()
        assert port.out_waiting == 0


def test_resetting_the_input_drops_what_came_before(home: Path, target: str) -> None:
    with open_port(url(home, target)) as port:
        answer = ask(port, b"$I\n").partition(b"[VER")[2]
        port.write(b"$I\n")
        wait_until(lambda: port.in_waiting > len(answer))
        port.reset_input_buffer()
        assert port.in_waiting == 0
        assert ask(port, b"$G\n").startswith(b"[GC:")


def test_baud_reaches_the_port_before_the_setter_returns(home: Path, target: str) -> None:
    with open_port(url(home, target), baud=57600) as port:
        assert listed_baud(home, target) == 57600
        port.baudrate = 250000
        assert listed_baud(home, target) == 250000
        with pytest.raises(serial.SerialException, match="baud"):
            port.baudrate = 99_000_000
        assert ask(port, b"\n").endswith(b"ok\r\n")


def listed_baud(home: Path, target: str) -> int:
    _, output = run(["bridge", "list", "--target", target, "--json"], home)
    return int(json.loads(output)[0]["baud"])


def test_modem_lines_are_shown_and_set(home: Path, target: str) -> None:
    with open_port(url(home, target)) as port:
        assert (port.cts, port.dsr, port.ri) == (True, True, False)
        port.rts = False
        assert (port.cts, port.dsr) == (True, True)


@contextmanager
def recorded(home: Path) -> Iterator[tuple[str, Path]]:
    """Serve a simulated laser; yields the target and the file of what happens to it."""
    record = home / "laser.jsonl"
    config = home / "usbshare.toml"
    config.write_text(f'[ports.laser]\nsource = "sim://grbl?record={record}"\nprofile = "grbl"\n')
    with serial_service(home, "--config", str(config)) as (_, target):
        yield target, record


def test_a_break_reaches_the_device_after_the_bytes_before_it(tmp_path: Path) -> None:
    with recorded(tmp_path) as (target, record), open_port(url(tmp_path, target)) as port:
        ask(port, b"$I\n")
        port.write(b"G4P0 F100\n")
        port.break_condition = True
        assert port.break_condition
        port.break_condition = False
        port.send_break(0.01)
        assert not port.break_condition
        entries = [json.loads(line) for line in record.read_text().splitlines()]
    before = [entry.get("rx", "") for entry in entries if "t" in entry]
    events = [entry.get("event", "") for entry in entries]
    first = events.index("break")
    assert bytes.fromhex("".join(before[:first])).endswith(b"G4P0 F100\n")
    assert [each for each in events if "break" in each] == ["break", "break end"] * 2


def test_a_break_that_a_pty_cannot_carry_is_refused(tmp_path: Path) -> None:
    with on_a_pty(tmp_path) as (_, _, target), open_port(url(tmp_path, target)) as port:
        with pytest.raises(serial.SerialException, match="pty, which does not carry a break"):
            port.send_break()
        assert not port.break_condition


def test_binary_bytes_arrive_whole_both_ways(tmp_path: Path) -> None:
    size = 200_000
    sent = random.Random(1).randbytes(size)
    with on_a_pty(tmp_path) as (master, _, target):
        echo = threading.Thread(target=echo_bytes, args=(master, size))
        echo.start()
        with open_port(url(tmp_path, target), baud=12_000_000) as port:
            writer = threading.Thread(target=port.write, args=(sent,))
            writer.start()
            received = port.read(size)
            writer.join(DEADLINE_S)
        echo.join(DEADLINE_S)
    assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()


def echo_bytes(master: int, size: int) -> None:
    """Send back what comes, as a device with a small buffer does."""
    while size and select.select([master], [], [], DEADLINE_S)[0]:
        data = os.read(master, 1024)
        size -= len(data)
        while data:
            select.select([], [master], [], DEADLINE_S)
            data = data[os.write(master, data) :]


def test_unread_bytes_are_fetched_only_up_to_a_limit(tmp_path: Path) -> None:
    size = 600_000
    sent = random.Random(2).randbytes(size)
    with (
        on_a_pty(tmp_path) as (master, _, target),
        open_port(url(tmp_path, target), baud=12_000_000) as port,
    ):
        device = threading.Thread(target=write_all, args=(master, sent))
        device.start()
        wait_until(lambda: port.in_waiting > 100_000)
        device.join(0.5)
        assert device.is_alive()
        assert port.in_waiting <= 128 * 1024
        assert port.read(size) == sent
        device.join(DEADLINE_S)


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data[:1024]) :]


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        select.select([], [], [], 0.01)


def test_a_device_that_takes_nothing_ends_a_write_in_time(tmp_path: Path) -> None:
    with (
        on_a_pty(tmp_path) as (_, _, target),
        open_port(url(tmp_path, target), baud=12_000_000, write_timeout=0.2) as port,
    ):
        with pytest.raises(serial.SerialTimeoutException):
            port.write(bytes(1_000_000))
        port.write_timeout = 0
        assert port.write(bytes(10)) == 0
        port.reset_output_buffer()
        assert port.write(bytes(10)) == 10
        port.reset_output_buffer()


def test_a_held_port_names_the_holder_and_may_be_observed(home: Path, target: str) -> None:
    with open_port(url(home, target)) as port:
        with pytest.raises(serial.SerialException, match=r"port 'demo' is held by .*/operator"):
            open_port(url(home, target))
        with open_port(url(home, target, more="&observe=1")) as observer:
            port.write(b"$I\n")
            assert b"[VER:1.1h" in observer.read_until(b"ok\r\n")
            with pytest.raises(serial.SerialException, match="only observed"):
                observer.write(b"$I\n")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("usbshare://nobody.invalid/", "the name of nobody.invalid:50051 is unknown"),
        ("usbshare://127.0.0.1:0/", "port '0'"),
        ("usbshare:///demo", "target is empty"),
        ("usbshare://{target}/?speed=1", "unknown option 'speed'"),
        ("usbshare://{target}/?observe=yes", "observe=yes"),
        ("usbshare://{target}/?bundle=/nowhere", "no client certificate at /nowhere"),
        ("usbshare://{target}/other?bundle={bundle}", "no port 'other' here; available: demo"),
        ("usbshare://{target}/?insecure=1", "requires TLS"),
    ],
)
def test_a_failed_open_says_why_in_one_line(
    home: Path, target: str, address: str, why: str
) -> None:
    bundle_option = "" if "bundle=" in address or "insecure" in address else "bundle={bundle}"
    address += bundle_option and ("&" if "?" in address else "?") + bundle_option
    with pytest.raises(serial.SerialException, match=why) as caught:
        open_port(address.format(target=target, bundle=bundle(home)))
    assert len(str(caught.value).splitlines()) == 1
    for thread in ours():  # a look-up of a name cannot be broken off
        thread.join(LOOK_UP_S)
    assert not ours()


def test_another_sites_certificate_is_refused(tmp_path: Path, target: str) -> None:
    with serial_service(tmp_path):
        pass
    with pytest.raises(serial.SerialException, match="certificate") as caught:
        open_port(url(tmp_path, target))
    assert len(str(caught.value).splitlines()) == 1


def test_nothing_is_left_running_after_close(home: Path, target: str) -> None:
    port = open_port(url(home, target))
    assert len(ours()) == 1
    port.close()
    assert not ours()
    with pytest.raises(serial.SerialException):
        port.read(1)
    port.close()
    port.open()
    assert ask(port, b"\n").endswith(b"ok\r\n")
    del port
    assert not ours()


def test_a_lost_link_ends_the_stream(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (service, target):
        port = open_port(url(tmp_path, target))
        assert ask(port, b"\n").endswith(b"ok\r\n")
        service.stop(signal.SIGKILL)
        with pytest.raises(serial.SerialException, match="is lost"):
            port.read(1)
        with pytest.raises(serial.SerialException, match="is lost"):
            port.write(b"\n")
        with pytest.raises(serial.SerialException, match="is lost"):
            assert port.in_waiting
        port.close()
    for thread in ours():  # the last attempt to connect again
        thread.join(LOOK_UP_S)
    assert not ours()


def test_a_device_that_goes_ends_the_stream(tmp_path: Path) -> None:
    with ExitStack() as plugged_in:
        device, _ = plugged_in.enter_context(simulated("grbl", tmp_path))
        config = tmp_path / "usbshare.toml"
        config.write_text(f'[ports.laser]\nsource = "{device}"\nprofile = "grbl"\n')
        with (
            serial_service(tmp_path, "--config", str(config)) as (_, target),
            open_port(url(tmp_path, target)) as port,
        ):
            assert ask(port, b"\n").endswith(b"ok\r\n")
            plugged_in.close()
            with pytest.raises(serial.SerialException, match=r"port 'laser' is (absent|failed)"):
                port.read(1)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["stop"], "was hung up: an emergency stop by .*/operator.* has latched the port"),
        (["reset", "--yes"], "was hung up: a stop, a reset or a lost session has ended"),
    ],
)
def test_a_program_whose_epoch_ended_must_open_the_port_again(
    home: Path, target: str, command: list[str], why: str
) -> None:
    with (
        open_port(url(home, target)) as port,
        open_port(url(home, target, more="&observe=1")) as observer,
    ):
        assert ask(port, b"\n").endswith(b"ok\r\n")
        assert observer.read_until(b"ok\r\n")
        code, said = run(["usbshare-bridge", *command, "--target", target], home)
        assert code == 0, said
        with pytest.raises(serial.SerialException, match=why):
            read_to_the_end(port)  # the machine's banner may come before the news
        with pytest.raises(serial.SerialException, match=why):
            port.write(b"\n")
        assert b"Grbl" in observer.read_until(b"]\r\n")
    if command == ["stop"]:
        rearm(home, target)
    with open_port(url(home, target)) as port:
        assert ask(port, b"$X\n").endswith(b"ok\r\n")


def test_a_program_that_opens_a_latched_port_learns_that_its_bytes_are_refused(
    home: Path, target: str
) -> None:
    code, said = run(["usbshare-bridge", "stop", "--target", target], home)
    assert code == 0, said
    with open_port(url(home, target)) as port:
        port.write(b"\n")
        with pytest.raises(serial.SerialException, match="re-arm"):
            port.flush()
    rearm(home, target)


def read_to_the_end(port: serial.SerialBase) -> None:
    while port.read(1):
        pass


def rearm(home: Path, target: str) -> None:
    code, said = run(["usbshare-bridge", "stop", "--rearm", "--target", target], home)
    assert code == 0, said


def test_two_ports_at_once(home: Path, target: str) -> None:
    with (
        open_port(url(home, target)) as port,
        open_port(url(home, target, more="&observe=1")) as observer,
    ):
        for _ in range(100):
            assert ask(port, b"$G\n") == observer.read_until(b"ok\r\n")


def program_environment(home: Path) -> dict[str, str]:
    return {**os.environ, **environment(home), "PYTHONPATH": str(home), "PYTHONUNBUFFERED": "1"}


def test_a_module_that_knows_nothing_of_it_is_run_with_it(home: Path, target: str) -> None:
    (home / "unknowing.py").write_text(
        "import sys, serial\n"
        "port = serial.serial_for_url(sys.argv[1], 115200, timeout=60)\n"
        "port.write(b'$I\\n')\n"
        "print(port.read_until(b'ok\\r\\n'))\n"
        "raise SystemExit(3)\n"  # without a close
    )
    done = subprocess.run(
        [sys.executable, "-m", "usbshare.bridge.pyserial", "unknowing", url(home, target)],
        env=program_environment(home),
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert "[VER:1.1h" in done.stdout
    with open_port(url(home, target)) as port:
        assert ask(port, b"\n").endswith(b"ok\r\n")


@pytest.mark.parametrize("arguments", [[], ["no.such.module"]])
def test_a_module_that_is_not_there_is_bad_usage(home: Path, arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "usbshare.bridge.pyserial", *arguments],
        env=program_environment(home),
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_miniterm_opens_a_port_far_away(home: Path, target: str) -> None:
    master, slave = os.openpty()
    module = ["usbshare.bridge.pyserial", "serial.tools.miniterm", url(home, target), "115200"]
    terminal = subprocess.Popen(
        [sys.executable, "-m", *module],
        env=program_environment(home),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    try:
        read_terminal(master, b"--- Quit:")
        os.write(master, b"$I\r")
        read_terminal(master, b"[VER:1.1h")
        os.write(master, b"\x1d")
        assert terminal.wait(DEADLINE_S) == 0
    finally:
        terminal.kill()
        terminal.wait()
        os.close(master)


def read_terminal(master: int, end: bytes) -> None:
    shown = b""
    while end not in shown:
        assert select.select([master], [], [], DEADLINE_S)[0], shown
        shown += os.read(master, 4096)
