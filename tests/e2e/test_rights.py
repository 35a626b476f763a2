"""Rights as people meet them: what `bridge` says, and the codes that it asks for."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest

from fakes.console import piped, terminal
from fakes.processes import DEADLINE_S, SCRIPTS, SEND, environment, run, serial_service
from fakes.waiting import until
from usbshare.authorization.lockout import MOST_WRONG

POLICY = """
[[grants]]
who = ["operator"]
rights = ["control"]
confirm = "totp"
confirm_for = "1h"
"""

NEVER_RIGHT = "12345"  # codes have six digits


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    with serial_service(tmp_path) as (service, target):
        (config(tmp_path) / "policy.toml").write_text(POLICY, encoding="ascii")
        service.wait_for("the policy of .* is in force")
        yield target


def config(home: Path) -> Path:
    return home / "config" / "usbshare"


def new_code(home: Path) -> str:
    """Make a second factor for the operator; returns its code."""
    return new_app(home).now()


def new_app(home: Path) -> pyotp.TOTP:
    """Make a second factor for the operator; returns the app that has read it."""
    code, output = run(["serial-svc", "pki", "totp", "operator"], home)
    assert code == 0, output
    uri = next(word for word in output.split() if word.startswith("otpauth://"))
    app = pyotp.parse_uri(uri)
    assert isinstance(app, pyotp.TOTP)
    return app


def end_pause(home: Path) -> None:
    """Let the operator's last wrong code be of yesterday, so that its pause is over."""
    path = config(home) / "site" / "totp.json"
    factors = json.loads(path.read_text(encoding="utf-8"))
    for factor in factors.values():
        factor["wrong_at"] = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    path.write_text(json.dumps(factors), encoding="utf-8")


def bridge(home: Path, *arguments: str) -> tuple[int, str]:
    return run(["bridge", *arguments], home)


def until_said(home: Path, command: tuple[str, ...], words: str) -> None:
    """Repeat a command until the service has seen the new file."""
    end = time.monotonic() + DEADLINE_S
    while words not in (output := bridge(home, *command)[1]):
        assert time.monotonic() < end, output


def test_whoami_returns_identity_rights_and_end(tmp_path: Path, target: str) -> None:
    code, output = bridge(tmp_path, "whoami", "--target", target)
    assert code == 0, output
    assert "/operator" in output
    assert "certificate  until 20" in output
    assert "port demo    view, stop, control (with a code)" in output
    found = json.loads(bridge(tmp_path, "whoami", "--target", target, "--json")[1])
    assert found["rights"][0]["to_confirm"] == ["control"]
    assert found["confirmed_until"] is None


def test_a_code_is_requested_once_and_then_counts(tmp_path: Path, target: str) -> None:
    send = (*SEND, "--target", target, "$I")
    for code_option in ((), ("--code", "000000")):
        code, output = bridge(tmp_path, *send, *code_option)
        assert code == 1
        assert "operator has no second factor: the host's administrator creates" in output
        assert "`serial-svc pki totp operator`" in output
    new = new_code(tmp_path)
    until_said(
        tmp_path,
        send,
        "needs a code from its authenticator app: give it with --code; it is valid for 1 h",
    )
    code, output = bridge(tmp_path, *send, "--code", new)
    assert code == 0, output
    assert "bridge: confirmed until" in output
    assert "[VER:" in output
    code, output = bridge(tmp_path, *send)
    assert code == 0, output
    assert "confirmed" not in output


async def test_a_secret_that_is_replaced_has_confirmed_nothing(tmp_path: Path, target: str) -> None:
    send = (*SEND, "--target", target, "$I")
    digits = new_code(tmp_path)  # the service looks at its files once a second
    await until(lambda: bridge(tmp_path, *send, "--code", digits)[0] == 0)
    code, output = run(["serial-svc", "pki", "totp", "operator", "--replace"], tmp_path)
    assert code == 0, output
    await until(lambda: "needs a code" in bridge(tmp_path, *send)[1])


def test_a_second_factor_that_was_guessed_at_is_locked_until_an_administrator_unlocks_it(
    tmp_path: Path, target: str
) -> None:
    app = new_app(tmp_path)
    send = (*SEND, "--target", target, "$I")
    until_said(tmp_path, send, "needs a code")
    guess = (*send, "--code", NEVER_RIGHT)
    for left in range(MOST_WRONG - 1, 0, -1):
        code, output = bridge(tmp_path, *guess)
        assert code != 0
        assert f"wrong code: check it, and the clocks of the phone and the host; after {left}" in (
            output
        )
        end_pause(tmp_path)
    locked = "`serial-svc pki totp operator --unlock`"
    assert locked in bridge(tmp_path, *guess)[1]
    end_pause(tmp_path)
    assert locked in bridge(tmp_path, *send, "--code", app.now())[1]
    code, output = run(["serial-svc", "pki", "totp", "operator", "--unlock"], tmp_path)
    assert code == 0, output
    assert "operator may enter codes again" in output
    code, output = bridge(tmp_path, *send, "--code", app.now())
    assert code == 0, output
    assert "[VER:" in output
    audit = run(["serial-svc", "audit", "show"], tmp_path)[1]
    assert "second factor unlocked" in audit
    again = run(["serial-svc", "pki", "totp", "operator", "--unlock"], tmp_path)[1]
    assert "operator has entered no wrong codes" in again


def test_a_stop_needs_no_code_and_a_rearm_does(tmp_path: Path, target: str) -> None:
    code, output = bridge(tmp_path, "stop", "--target", target)
    assert code == 0, output
    new = new_code(tmp_path)
    until_said(tmp_path, ("stop", "--rearm", "--target", target), "needs a code")
    rearm = ("stop", "--rearm", "--target", target, "--code", new)
    code, output = bridge(tmp_path, *rearm)
    assert code == 0, output
    assert "accepts programs again" in output


def test_a_person_at_a_terminal_is_prompted(tmp_path: Path, target: str) -> None:
    code = new_code(tmp_path)
    until_said(tmp_path, ("send", "--target", target, "$I"), "needs a code")
    master, slave = pty.openpty()
    command = [str(SCRIPTS / "bridge"), "send", "--target", target, "$I"]
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment(tmp_path)},
    )
    os.close(slave)
    os.write(master, f"{code}\n".encode())
    output, _ = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == 0, output
    assert b"Code:" in output
    assert b"[VER:" in output


def test_a_code_that_is_given_in_the_console_lets_lines_through(
    tmp_path: Path, target: str
) -> None:
    code = new_code(tmp_path)
    until_said(tmp_path, ("send", "--target", target, "$I"), "needs a code")
    words = ["bridge", "console", "--target", target, "--port", "demo"]
    with terminal(words, tmp_path) as console:
        console.wait_for("demo>")
        console.ask("G4 P0", "needs a code")
        console.ask(f"confirm {NEVER_RIGHT}", "code")
        console.ask(f"confirm {code}", "confirmed until")
        console.ask("$I", r"\[VER:")
    # Programs may not: whoever can connect to a console is not known to be that person.
    ended = piped(words, tmp_path, f"confirm {code}\n")
    assert ended.returncode == 1
    assert "`confirm` is only for a person at the prompt" in ended.stdout
