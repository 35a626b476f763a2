"""What the programs print with --json is as docs/schemas says, to the last key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fakes.documented import ROOT
from fakes.json_schema import SCHEMA, mistakes
from fakes.processes import (
    camera_service,
    completed,
    free_port,
    running,
    serial_service,
    wait_for_listener,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def serial(home: Path) -> Iterator[str]:
    config = home / "usbshare.toml"
    config.write_text(
        f'[tls]\nenrolment = "127.0.0.1:{free_port()}"\n'
        '[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n'
    )
    with serial_service(home, "--config", str(config)) as (_, target):
        yield target


@pytest.fixture(scope="module")
def camera(home: Path, serial: str) -> Iterator[str]:
    with camera_service(home, "--config", str(home / "usbshare.toml")) as (_, target):
        yield target


def printed(arguments: Sequence[str], home: Path) -> str:
    done = completed(arguments, home)
    assert done.stdout, done.stderr
    return done.stdout


COMMANDS = [
    (["list"], "list"),
    (["whoami"], "whoami"),
    (["doctor"], "doctor"),
    (["send", "$I"], "send"),
    (["status"], "status"),
    (["status", "--latency"], "status_latency"),
    (["stop", "--hold"], "stop"),
    (["status"], "status"),  # held
    (["list", "--match", "id=laser"], "list"),  # held
    (["stop"], "stop"),
    (["list", "--match", "kind=port"], "list"),  # latched
    (["status"], "status"),
    (["stop", "--rearm"], "stop"),
    (["stop", "--port", "nope"], "stop"),
    (["reset", "--yes"], "reset"),
    (["renew"], "renew"),
    (["send", "--port", "nope", "$I"], "error"),
]


@pytest.mark.parametrize(("words", "name"), COMMANDS, ids=str)
def test_the_json_of_a_command_matches_the_schema(
    words: list[str], name: str, home: Path, serial: str
) -> None:
    command = ["usbshare-bridge", words[0], "--target", serial, "--json", *words[1:]]
    assert mistakes(json.loads(printed(command, home)), name) == []


def test_the_json_list_contains_a_camera(home: Path, camera: str) -> None:
    (home / "hosts.toml").write_text(
        f'[hosts.laser]\naddress = "127.0.0.1"\nserial = 0\ncamera = {camera.rpartition(":")[2]}\n'
    )
    command = ["usbshare-bridge", "--config", str(home / "hosts.toml"), "list", "--json"]
    found = json.loads(printed([*command, "--timeout", "5"], home))
    assert mistakes(found, "list") == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["serial-svc", "doctor", "--json"], "doctor"),
        (["serial-svc", "devices", "--json"], "devices"),
        (["serial-svc", "pki", "list", "--json"], "pki_list"),
        (["usbshare-bridge", "discover", "--stats", "--json", "--timeout", "1"], "discover_stats"),
        (["usbshare-bridge", "lsit", "--json"], "error"),
    ],
)
def test_the_json_of_a_command_without_a_target_matches_the_schema(
    words: list[str], name: str, home: Path, serial: str
) -> None:
    assert mistakes(json.loads(printed(words, home)), name) == []


def test_the_json_of_the_audit_log_matches_the_schema(home: Path, serial: str) -> None:
    lines = printed(["serial-svc", "audit", "show", "--json"], home).splitlines()
    assert [found for line in lines if (found := mistakes(json.loads(line), "audit_entry"))] == []


def test_the_json_of_discovery_matches_the_schema(tmp_path: Path) -> None:
    with running(["discovery-svc", "--listen", "127.0.0.1:0"], tmp_path) as service:
        port = service.wait_for(r"ready at 127\.0\.0\.1:(\d+)")[1]
        via = ["--via", f"127.0.0.1:{port}", "--json"]
        found = json.loads(printed(["usbshare-bridge", "discover", *via], tmp_path))
        assert found  # other tests' hosts may be there too
        assert mistakes(found, "discover") == []
        with running(["usbshare-bridge", "discover", "--watch", *via], tmp_path) as watch:
            line = watch.wait_for(r'^\{"event": "added".*')[0]
        assert mistakes(json.loads(line), "discover_change") == []


def test_the_json_events_of_a_bridge_match_the_schema(home: Path, serial: str) -> None:
    arguments = ["usbshare-bridge", "--target", serial, "--vcom", "COM10", "--json"]
    with running(arguments, home) as bridge:
        bridge.wait_for('"event": "ready"')
        bridge.wait_for('"event": "status".*"now_ms"')
        printed(["usbshare-bridge", "stop", "--target", serial, "--json"], home)
        bridge.wait_for('"event": "status".*"latched"')
        printed(["usbshare-bridge", "stop", "--rearm", "--target", serial, "--json"], home)
        bridge.wait_for('"event": "released"')
    _all_are(bridge.lines, "bridge_event")


def test_the_json_of_a_watched_status_matches_the_schema(home: Path, serial: str) -> None:
    own = ["serial-svc", "--listen", serial, "status", "--json"]
    assert mistakes(json.loads(printed(own, home)), "status") == []
    arguments = ["usbshare-bridge", "status", "--target", serial, "--watch", "--json"]
    lines: list[str] = []
    with running([*arguments, "--interval", "0.1"], home) as watch:
        for _ in range(3):
            lines.append(watch.wait_for('.*"id": "laser".*')[0])
            watch.lines.clear()
    _all_are(lines, "status_line")
    lines.clear()
    with running([*arguments, "--latency", "--interval", "0.1"], home) as watch:
        for _ in range(3):
            lines.append(watch.wait_for('.*"part": "firmware".*')[0])
            watch.lines.clear()
    _all_are(lines, "status_latency_line")


def test_the_json_events_of_a_camera_match_the_schema(
    home: Path, camera: str, tmp_path: Path
) -> None:
    base = ["usbshare-bridge", "camera", "--target", camera, "--json"]
    picture = printed([*base, "--snapshot", str(tmp_path / "one.jpg")], home)
    assert mistakes(json.loads(picture), "camera_event") == []
    with running([*base, "--http", "127.0.0.1:0", "--stats"], home) as bridge:
        bridge.wait_for('"event": "stats".*"live"')
    _all_are(bridge.lines, "camera_event")


def test_enrolment(home: Path, serial: str, tmp_path: Path) -> None:
    invite = ["pki", "invite", "--name", "office-pc", "--role", "operator"]
    settings = ["--config", str(home / "usbshare.toml")]
    invited = completed(["serial-svc", "--listen", serial, *invite, *settings], home)
    wait_for_listener(invited.stderr)
    command = ["usbshare-bridge", "enroll", "--json", invited.stdout.strip()]
    found = json.loads(printed(command, tmp_path))
    assert mistakes(found, "enroll") == []


def test_every_event_of_the_bridge_is_in_the_schema() -> None:
    sources = [*(ROOT / "bridge").rglob("*.py")]
    texts = "".join(path.read_text(encoding="utf-8") for path in sources)
    told = set(re.findall(r'\.event\(\s*"(\w+)"', texts))
    assert told <= set(re.findall(r'"(\w+)"', json.dumps(SCHEMA)))


def _all_are(lines: Sequence[str], name: str) -> None:
    found = [json.loads(line) for line in lines if line.startswith("{")]
    assert len(found) > 2
    assert [wrong for each in found if (wrong := mistakes(each, name))] == []
