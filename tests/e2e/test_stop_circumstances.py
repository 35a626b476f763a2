"""A stop is carried out, or said not to be, whatever state the computer is in."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fakes.processes import (
    SCRIPTS,
    camera_service,
    environment,
    serial_service,
    without_waiting,
)

WORDS = "bridge: emergency stop not confirmed: use the machine's own emergency stop"
TIMEOUT_S = 60.0
# What a stop from a shell must never wait for.
HEAVY = ("click", "cryptography", "google.protobuf", "pydantic", "tomlkit", "zeroconf", "uvloop")
SPARED = ("matching", "messages", "convert", "client", "options", "camera", "settings", "naming")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def target(home: Path) -> Iterator[str]:
    configuration = home / "service.toml"
    configuration.write_text(
        f'[ports.laser]\nsource = "sim://grbl?record={home}/record"\nprofile = "grbl"\n'
    )
    with serial_service(home, "--config", str(configuration)) as (_, target):
        yield target


def shell(
    home: Path, line: str, *options: str, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which "$@" is the stop."""
    command = [str(SCRIPTS / "usbshare-bridge"), "stop", *options]
    return subprocess.run(
        ["bash", "-c", line, "bash", *command],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **environment(home), **variables},
        cwd=home,
        timeout=TIMEOUT_S,
    )


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert "Traceback" not in text
    assert "Exception ignored" not in text
    return without_waiting(text)


def resets(home: Path) -> int:
    """Return how many reset bytes the machine has received so far."""
    record = home / "record"
    lines = record.read_text().splitlines() if record.exists() else []
    return sum(bytes.fromhex(json.loads(line).get("rx", "")).count(0x18) for line in lines)


def bundle_of(home: Path) -> str:
    return str(home / "config/usbshare/client.pem")


@pytest.mark.parametrize(
    "line",
    [
        'exec "$@" <&-',
        'exec "$@" >&-',
        'exec "$@" 2>&-',
        'exec "$@" <&- >&-',
        'exec "$@" <&- >&- 2>&-',
        'exec "$@" >/dev/full',
        'exec "$@" 2>/dev/full',
        'exec "$@" >/dev/full 2>/dev/full',
        'set -o pipefail; "$@" | head -0',
        'set -o pipefail; "$@" 2>&1 | head -0',
        'unset HOME; exec "$@"',
        'mkdir -p gone && cd gone && rmdir ../gone && exec "$@"',
        'LC_ALL=C exec "$@"',
        'LC_ALL=POSIX PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 PYTHONIOENCODING=ascii exec "$@"',
        'LANG=tlh_QO.KOI8-X exec "$@"',
        'ulimit -Sn 16; exec "$@"',
        'ulimit -f 0; exec "$@"',
        'umask 777; exec "$@"',
        'PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=error exec "$@"',
        'TMPDIR=/nowhere exec "$@"',
        'trap "" PIPE INT HUP TERM; exec "$@"',
        'exec python3 -c "'
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
        'os.execv(sys.argv[1], sys.argv[1:])" "$@"',
        'USBSHARE_PORT=laser exec "$@"',
    ],
)
def test_the_machine_is_stopped_in_all_circumstances(home: Path, target: str, line: str) -> None:
    before = resets(home)
    done = shell(home, line, "--target", target, "--bundle", bundle_of(home))
    assert "not confirmed" not in said(done)
    assert done.returncode == 0
    assert resets(home) == before + 1


@pytest.mark.parametrize("option", ["--hold", "--door", "--rearm", "--resume"])
@pytest.mark.parametrize("line", ['exec "$@" <&- >&- 2>&-', 'exec "$@" >/dev/full'])
def test_hold_resume_and_re_arm_work_in_all_circumstances(
    home: Path, target: str, line: str, option: str
) -> None:
    done = shell(home, line, "--target", target, option)
    assert (done.returncode, "not confirmed" in said(done)) == (0, False)


@pytest.mark.parametrize(
    "content",
    ["target = ", "[bridge]\ntarget = 5\n", "\x00\xff", "[bridge]\nunknown = 1\n", "[hosts.x]\n"],
)
def test_a_broken_configuration_obstructs_no_stop(home: Path, target: str, content: str) -> None:
    configuration = home / "broken.toml"
    configuration.write_text(content, encoding="latin-1")
    done = shell(home, 'exec "$@"', "--target", target, USBSHARE_CONFIG=str(configuration))
    assert "sent 0x18" in said(done)
    assert done.returncode == 0


def test_an_unreadable_configuration_or_one_that_is_no_file_obstructs_no_stop(
    home: Path, target: str
) -> None:
    for variable in (str(home), "/nowhere/x.toml", "/proc/self/mem"):
        done = shell(home, 'exec "$@"', "--target", target, USBSHARE_CONFIG=variable)
        assert "sent 0x18" in said(done)


@pytest.mark.parametrize(
    "reason", ["two\nlines", "x" * 5000, "\udcff\udc80", "ä" * 150, "\x1b[2J", "\u200b"]
)
def test_a_stop_with_any_text_of_a_reason_is_carried_out(
    home: Path, target: str, reason: str
) -> None:
    done = shell(home, 'exec "$@"', "--target", target, "--reason", reason)
    assert "sent 0x18" in said(done)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ('exec "$@"', ["--target", "127.0.0.1:9"]),
        ('exec "$@"', ["--target", "nowhere.invalid:50051"]),
        ('exec "$@"', ["--target", "TARGET", "--port", "nope"]),
        ('exec "$@"', ["--target", "TARGET", "--port", "\udcff"]),
        ('exec "$@"', ["--target", "TARGET", "--bundle", "/nowhere/client.pem"]),
        ('exec "$@"', ["--target", "TARGET", "--bundle", "/dev/null"]),
        ('exec "$@"', ["--target", "TARGET", "--bundle", "/dev/zero"]),
        ('exec "$@"', ["--target", "TARGET", "--insecure"]),
        ('exec "$@"', ["--target", "TARGET", "--nonsense"]),
        ('exec "$@"', ["--target", "TARGET", "--hold", "--door"]),
        ('exec "$@"', ["--target", ""]),
        ('exec "$@"', []),
        ('ulimit -n 6; exec "$@"', ["--target", "TARGET"]),
        ('ulimit -n 12; exec "$@"', ["--target", "TARGET"]),
        ('ulimit -v 60000; exec "$@"', ["--target", "TARGET"]),
        ('PYTHONPATH=$PWD/shadow exec "$@"', ["--target", "TARGET"]),
        ('unset HOME XDG_CONFIG_HOME; exec "$@"', ["--target", "TARGET"]),
        ('XDG_CONFIG_HOME=/nowhere exec "$@"', ["--target", "TARGET"]),
    ],
)
def test_an_unconfirmed_stop_prints_the_last_resort_and_does_not_exit_with_0(
    home: Path, target: str, line: str, options: list[str]
) -> None:
    shadow = home / "shadow/grpc"
    shadow.mkdir(parents=True, exist_ok=True)
    (shadow / "__init__.py").write_text("raise RuntimeError('half installed')\n")
    told = [target if each == "TARGET" else each for each in options]
    done = shell(home, line, *told)
    assert said(done).splitlines()[-1].replace("hold", "emergency stop") == WORDS
    assert done.returncode not in {0, 120}


def test_the_service_of_another_port_is_named_with_where_ours_is(
    tmp_path: Path, home: Path
) -> None:
    with camera_service(home) as (_, camera):
        done = shell(home, 'exec "$@"', "--target", camera)
    lines = said(done).splitlines()
    assert lines[-1] == WORDS
    # This computer may have a service of its own there.
    where = r"serial-svc (is at 127\.0\.0\.1:50051|does not answer at .*; `usbshare-bridge disc.*)"
    assert re.fullmatch(rf"bridge: camera-svc listens at {re.escape(camera)}: {where}", lines[-2])
    assert done.returncode == 1


def test_the_bridges_own_port_option_counts_for_a_stop(home: Path, target: str) -> None:
    command = [str(SCRIPTS / "usbshare-bridge"), "--port", "mill", "stop", "--target", target]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment(home)},
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 1
    assert "no port 'mill' here" in done.stderr


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Run a service with a port that nobody has opened, and one without bytes for a stop."""
    home = tmp_path_factory.mktemp("host")
    configuration = home / "service.toml"
    configuration.write_text(
        f'[ports.fresh]\nsource = "sim://grbl?record={home}/record"\n'
        '[ports.binary]\nsource = "sim://grbl"\nprofile = "raw"\n'
    )
    with serial_service(home, "--config", str(configuration)) as (_, target):
        yield home, target


def test_a_port_never_opened_and_with_unknown_firmware_is_stopped(
    host: tuple[Path, str],
) -> None:
    home, target = host
    done = shell(home, 'exec "$@"', "--target", target, "--port", "fresh")
    assert "port 'fresh': sent 0x18, M112" in said(done)
    assert (done.returncode, resets(home)) == (0, 1)


def test_a_stop_that_has_nothing_to_send_is_not_confirmed(host: tuple[Path, str]) -> None:
    home, target = host
    done = shell(home, 'exec "$@"', "--target", target, "--port", "binary")
    assert "SENT NOTHING" in said(done)
    assert (done.returncode, said(done).splitlines()[-1]) == (1, WORDS)
    done = shell(home, 'exec "$@"', "--target", target, "--port", "binary", "--hold")
    assert "no bytes for 'hold'" in said(done)
    assert done.returncode == 1


def test_a_stop_imports_only_what_it_needs(home: Path, target: str) -> None:
    done = shell(
        home, 'exec "$@"', "--target", target, "--port", "laser", PYTHONPROFILEIMPORTTIME="1"
    )
    text = said(done)
    assert "sent 0x18" in text
    lines = [line for line in text.splitlines() if line.startswith("import time:")]
    names = [line.rpartition("|")[2].strip() for line in lines]
    assert "grpc._cython.cygrpc" in names
    assert [name for name in names if name.startswith(HEAVY)] == []
    ours = [name for name in names if name.startswith("usbshare.bridge.")]
    assert [name for name in ours if name.split(".")[2] in SPARED] == []
    assert len(names) < 320


def closed(home: Path, *command: str) -> subprocess.Popen[bytes]:
    """Start a program as a launcher does that closes all three descriptors."""
    line = 'exec "$@" <&- >&- 2>&-'
    script = ["sh", "-c", line, "sh", str(SCRIPTS / command[0]), *command[1:]]
    return subprocess.Popen(script, env={**os.environ, **environment(home)})


def wait_until(condition: Callable[[], bool], *processes: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end
        assert [process.poll() for process in processes] == [None] * len(processes)
        time.sleep(0.05)


def answers(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def test_services_and_bridge_work_with_all_three_descriptors_closed(tmp_path: Path) -> None:
    listen = [f"127.0.0.1:{port}" for port in free_ports(2)]
    (tmp_path / "usbshare.toml").write_text('[ports.laser]\nsource = "sim://grbl"\n')
    config = ("--config", str(tmp_path / "usbshare.toml"))
    link = tmp_path / "run/usbshare/COM10"
    started = [closed(tmp_path, "serial-svc", *config, "--listen", listen[0])]
    try:
        wait_until(lambda: answers(int(listen[0].rpartition(":")[2])), *started)
        started.append(closed(tmp_path, "discovery-svc", "--listen", listen[1]))
        bridge = ("usbshare-bridge", "--target", listen[0], "--vcom", "COM10")
        started.append(closed(tmp_path, *bridge))
        wait_until(link.exists, *started)
        wait_until(lambda: answers(int(listen[1].rpartition(":")[2])), *started)
    finally:
        for process in reversed(started):
            process.terminate()
        assert [process.wait(TIMEOUT_S) for process in started] == [0] * len(started)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
