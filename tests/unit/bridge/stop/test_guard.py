"""However a stop ends, its exit code and its last line say whether it is confirmed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

WORDS = "bridge: emergency stop not confirmed: use the machine's own emergency stop"
PREFIX = """
import os, signal, sys, time
from usbshare.bridge.stop.guard import guarded_stop, tell
def attempt():
"""
SUFFIX = "\nguarded_stop(sys.argv[1:], attempt)\n"


def script(body: str, before: str = "") -> list[str]:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return [sys.executable, "-c", PREFIX.replace("def ", f"{before}def ", 1) + lines + SUFFIX]


def ended(body: str, *arguments: str) -> tuple[int, str, list[str]]:
    done = subprocess.run(
        [*script(body), *arguments], check=False, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr.splitlines()


@pytest.mark.parametrize(
    "body", ["tell('done')", "tell('done')\nsys.exit(0)", "tell('done')\nexit()"]
)
def test_success_says_nothing_more(body: str) -> None:
    assert ended(body) == (0, "done\n", [])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("raise MemoryError", 1),
        ("raise KeyboardInterrupt", 1),
        ("raise OSError(28, 'No space left on device')", 1),
        ("import no_such_module", 1),
        ("raise UnicodeEncodeError('ascii', 'ä', 0, 1, 'ordinal')", 1),
        ("raise BaseExceptionGroup('both', [ValueError('x')])", 1),
        ("sys.exit(2)", 2),
        ("sys.exit('why')", 1),
        ("def again(): again()\nagain()", 1),
        ("os._exit(3)", 3),
        ("os.abort()", 128 + signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 128 + signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL),
        ("import ctypes\nctypes.string_at(0)", 128 + signal.SIGSEGV),
    ],
)
def test_every_other_way_out_says_that_it_is_not_confirmed(body: str, code: int) -> None:
    found, output, errors = ended(body)
    assert (found, output) == (code, "")
    assert errors[-1] == WORDS
    assert "Traceback" not in "".join(errors)


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--hold", "hold"),
        ("--door", "safety door"),
        ("--resume", "resume"),
        ("--rearm", "re-arming"),
    ],
)
def test_the_words_name_what_was_asked_for(option: str, name: str) -> None:
    errors = ended("sys.exit(1)", "stop", option)[2]
    assert errors[-1] == f"bridge: {name} not confirmed: use the machine's own emergency stop"


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Return whether a process has ended, reaped by its parent or not."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True
    )
    return found.stdout.strip()[:1] in {"", "Z"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_the_attempt_with_the_words(tmp_path: Path, number: signal.Signals) -> None:
    begun = tmp_path / "pid"
    body = f"open({str(begun)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    # A test run in the background of a script ignores SIGINT, and so would its children.
    command = ["env", "--default-signal", *script(body)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (begun.exists() and begun.read_text()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert errors.splitlines()[-1] == WORDS
    wait_until(lambda: is_gone(int(begun.read_text())))


def test_a_signal_that_comes_with_the_fork_leaves_no_child_behind(tmp_path: Path) -> None:
    begun = tmp_path / "pid"
    # The parent has its signal before it has returned from the fork.
    early = (
        "fork = os.fork\n"
        "def os_fork():\n"
        "    child = fork()\n"
        "    if child:\n"
        f"        open({str(begun)!r}, 'w').write(str(child))\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return child\n"
        "os.fork = os_fork\n"
    )
    done = subprocess.run(
        script("time.sleep(90)", before=early),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (128 + signal.SIGTERM, WORDS)
    wait_until(lambda: is_gone(int(begun.read_text())))


def test_ignored_signals_stay_ignored(tmp_path: Path) -> None:
    body = "os.kill(os.getppid(), signal.SIGHUP)\nos.kill(os.getpid(), signal.SIGHUP)\ntell('done')"
    command = ["nohup", *script(body)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_after_two_seconds_without_news_it_says_that_nothing_is_confirmed_yet() -> None:
    body = "time.sleep(2.5)\ntell('done')"
    code, output, errors = ended(body)
    assert (code, output) == (0, "done\n")
    assert errors == [
        "bridge: emergency stop: waiting for the host to answer",
        "bridge: emergency stop not confirmed yet (no answer within 2 s): "
        "use the machine's own emergency stop",
    ]


def test_a_slow_re_arming_is_not_reported_as_an_emergency() -> None:
    code, _, errors = ended("time.sleep(2.5)\ntell('done')", "stop", "--rearm")
    assert code == 0
    assert errors == [
        "bridge: re-arming: waiting for the host (no answer within 2 s); "
        "nothing changes until it answers"
    ]


def test_a_slow_resume_is_not_reported_as_an_emergency() -> None:
    code, _, errors = ended("time.sleep(2.5)\ntell('done')", "stop", "--resume")
    assert code == 0
    assert errors == [
        "bridge: resume: waiting for the host to answer",
        "bridge: resume: waiting for the machine to continue (no answer within 2 s)",
    ]


@pytest.mark.parametrize("place", [["--json", "stop"], ["stop", "--json"]])
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("tell('bridge: plaintext', 2)\nsys.exit('bridge: no route')", "no route; "),
        ("raise MemoryError('none')", "MemoryError: none; "),
        ("os.abort()", ""),
        ("sys.exit(3)", ""),
    ],
)
def test_with_json_the_failure_is_an_object_on_stdout_too(
    place: list[str], body: str, why: str
) -> None:
    code, output, errors = ended(body, *place)
    assert code != 0
    assert errors[-1] == WORDS
    (line,) = output.splitlines()
    said = json.loads(line)
    assert said["error"].endswith(WORDS.removeprefix("bridge: "))
    assert said["error"].startswith(why)
    assert (said["confirmed"], said["exit_code"]) == (False, code)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "| head -0", "</dev/null >/dev/full"])
def test_a_report_that_stdout_does_not_take_goes_to_stderr(redirection: str) -> None:
    shell = ["bash", "-c", f'set -o pipefail; sleep 0.1; "$@" {redirection}', "bash"]
    body = "time.sleep(0.5)\ntell('done')"
    done = subprocess.run(
        [*shell, *script(body)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stderr == "done\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_without_any_writable_stream_the_exit_code_still_says_it() -> None:
    for body, code in (("tell('done')", 0), ("raise MemoryError", 1)):
        shell = ["sh", "-c", 'exec "$@" >/dev/full 2>/dev/full', "sh", *script(body)]
        assert subprocess.run(shell, check=False, timeout=60).returncode == code


def test_the_attempt_never_waits_for_a_reader_of_its_output(tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    body = f"print('x' * 60000, flush=True)\nopen({str(sent)!r}, 'w').close()"
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    process = subprocess.Popen(script(body), stdout=writing)
    wait_until(sent.exists)
    os.close(writing)
    process.kill()
    process.wait(60)
    os.close(reading)


def test_where_no_process_can_be_made_it_runs_here() -> None:
    body = "tell('done')"
    code = (
        PREFIX
        + f"    {body}\n"
        + "def refuse():\n raise BlockingIOError\nos.fork = refuse\n"
        + SUFFIX
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_without_descriptors_for_pipes_it_still_runs() -> None:
    body = "tell('done')"
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))\n"
    code = PREFIX + f"    {body}\n" + limit + SUFFIX
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, b"done\n")
