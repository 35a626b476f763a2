"""`--json` before or behind any of the bridge's commands: results and errors are JSON on stdout."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.processes import SEND, completed, serial_service, wait_for_listener, without_waiting

BOTH = pytest.mark.parametrize("place", ["before", "behind"])


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    output: str
    errors: str

    @property
    def object(self) -> dict[str, Any]:
        """The one line on stdout."""
        (line,) = self.output.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def target(home: Path) -> Iterator[str]:
    config = home / "config/usbshare/usbshare.toml"
    config.parent.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        enrolment = f"127.0.0.1:{free.getsockname()[1]}"
    config.write_text(
        f'[tls]\nenrolment = "{enrolment}"\n'
        '[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n'
    )
    with serial_service(home) as (_, found):
        yield found


def bridge(home: Path, *arguments: str) -> Said:
    done = completed(["usbshare-bridge", *arguments], home)
    return Said(done.returncode, done.stdout, done.stderr)


def with_json(place: str, command: Sequence[str]) -> list[str]:
    name, *rest = command
    return ["--json", name, *rest] if place == "before" else [name, "--json", *rest]


@BOTH
def test_a_stop_and_a_re_arming_are_objects(home: Path, target: str, place: str) -> None:
    to = ["--target", target, "--port", "laser"]
    said = bridge(home, *with_json(place, ["stop", *to]))
    assert said.code == 0, said
    stop = said.object
    assert (stop["confirmed"], stop["action"], stop["port"]) == (True, "emergency stop", "laser")
    assert (stop["sent"], stop["latched"], stop["fenced_commands"]) == ("18", True, 0)
    assert stop["round_trip_ms"] > stop["write_delay_ms"] >= 0
    assert said.errors.splitlines()[-1] == stop["text"]  # one that takes long says so before
    epoch = str(stop["epoch"])
    said = bridge(home, *with_json(place, ["stop", *to, "--rearm", "--epoch", epoch]))
    assert said.code == 0, said
    assert said.object["action"] == "re-arm"
    assert (said.object["latched"], said.object["port"]) == (False, "laser")
    assert said.object["text"] in said.errors


@BOTH
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--target", "127.0.0.1:1"], "127.0.0.1:1"),
        (["--target", "TARGET", "--port", "x"], "no port 'x' here"),
        (["--hold", "--door", "--target", "TARGET"], "Give at most one of"),
    ],
)
def test_a_failed_stop_is_an_object(
    home: Path, target: str, place: str, options: list[str], why: str
) -> None:
    options = [target if each == "TARGET" else each for each in options]
    said = bridge(home, *with_json(place, ["stop", *options]))
    assert said.code != 0
    words = "not confirmed: use the machine's own emergency stop"
    assert why in said.object["error"]
    assert said.object["error"].endswith(words)
    assert said.object["confirmed"] is False
    assert said.errors.splitlines()[-1].endswith(words)


@BOTH
def test_an_answer_is_an_object(home: Path, target: str, place: str) -> None:
    said = bridge(home, *with_json(place, [*SEND, "--target", target, "$I"]))
    assert said.code == 0, said
    assert said.object["answer"].startswith("[VER:1.1")
    assert said.object["written_ms"] >= 0


@BOTH
def test_a_renewal_is_an_object(home: Path, target: str, place: str) -> None:
    said = bridge(home, *with_json(place, ["renew", "--target", target]))
    assert said.code == 0, said
    assert said.object["renewed"] is False
    assert said.object["bundle"].endswith("client.pem")
    assert said.object["renewal_time"] < said.object["certificate_end"]


@BOTH
def test_an_enrolment_is_an_object(home: Path, tmp_path: Path, target: str, place: str) -> None:
    options = ["--name", f"pc-{place}", "--role", "operator"]
    invited = completed(["serial-svc", "pki", "invite", *options], home)
    wait_for_listener(invited.stderr)
    said = bridge(tmp_path, *with_json(place, ["enroll", invited.stdout.strip()]))
    assert said.code == 0, said
    assert said.object["identity"].endswith(f"pc-{place}")
    assert said.object["bundle"] == str(tmp_path / "config/usbshare/client.pem")
    assert said.object["next"][0].startswith("usbshare-bridge --target ")


@BOTH
@pytest.mark.parametrize(
    ("command", "why", "code"),
    [
        (["enroll", "junk"], "not a complete invitation", 2),
        (["renew", "--target", "127.0.0.1:1"], "127.0.0.1:1", 1),
        (["send", "--target", "127.0.0.1:1", "?"], "127.0.0.1:1", 1),
        (["send", "--target", "127.0.0.1:1", "--nonsense", "?"], "No such option", 2),
        (["whoami", "--bundle", "/none.pem", "--target", "a:1"], "/none.pem", 2),
        (["list", "--bundle", "/none.pem", "--target", "a:1"], "/none.pem", 2),
    ],
)
def test_an_error_is_an_object(
    home: Path, target: str, place: str, command: list[str], why: str, code: int
) -> None:
    if command[0] == "renew":
        command = [*command, "--force"]
    said = bridge(home, *with_json(place, command))
    assert said.code == code, said
    assert why in said.object["error"]
    assert said.object["exit_code"] == code
    assert why in said.errors


def test_json_may_stand_before_or_after_the_command(home: Path, target: str) -> None:
    for command in (["list"], ["whoami"]):
        before, behind = (
            bridge(home, *with_json(place, [*command, "--target", target]))
            for place in ("before", "behind")
        )
        assert json.loads(before.output) == json.loads(behind.output)


def test_the_bridge_takes_the_option_too(home: Path) -> None:
    said = bridge(home, "--json", "--target", "127.0.0.1:1", "--vcom", str(home / "COM10"))
    assert said.code == 1
    assert "127.0.0.1:1" in json.loads(said.output.splitlines()[-1])["error"]


def test_without_json_nothing_is_json(home: Path, target: str) -> None:
    said = bridge(home, "stop", "--hold", "--target", target, "--port", "laser")
    assert without_waiting(said.output).startswith("hold on port 'laser'")
    said = bridge(home, "renew", "--target", target)
    assert "is valid until" in said.output
