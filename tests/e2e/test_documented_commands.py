"""The commands that the pages show, run as they stand, against a host of this test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.documented import Documented, documented
from fakes.processes import (
    Process,
    camera_service,
    environment,
    free_port,
    run,
    running,
    serial_service,
)

# What changes this computer, is there only as a part, or is run by other tests with all it needs.
NOT_HERE = re.compile(
    r"install-(service|usb-helper)|--usb-port|bridge usb |enroll|completion|--wait"
    r"|pki (revoke|totp)|--save|panel --open"
)
# These run until they are ended; each says when it has what it is for.
SERVES = re.compile(
    r"--vcom|--tcp|^(/\S+/)?(usbshare-)?bridge$|bridge panel|camera |-svc( --listen \S+)?$|--follow"
)
READY = r"ready|capturing|holds the port|is held by|match|observing|\d\d:\d\d:\d\d|not there"
WRONG = re.compile(r"--config bad\.toml")


@dataclass(frozen=True, slots=True)
class Host:
    """A host that runs, the folder to work in, and where its services are."""

    home: Path
    serial: str
    camera: str

    def words(self, each: Documented) -> list[str]:
        """Return the command with this host in the place of the page's."""
        where = self.camera if " camera " in f" {each.text} " else self.serial
        words = [each.program, *each.words[1:]]
        for n, word in enumerate(words):
            if n and words[n - 1] == "--target" and word not in {"lazer-workshop", "localhost:1"}:
                words[n] = where
            elif n and words[n - 1] == "--port":
                words[n] = "laser"
            elif n and words[n - 1] in {"--listen", "--tcp"}:
                words[n] = "127.0.0.1:0"
        return words


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    home = tmp_path_factory.mktemp("host")
    enrolment = f'[tls]\nenrolment = "127.0.0.1:{free_port()}"\n'
    (home / "services.toml").write_text(f'{enrolment}[ports.laser]\nsource = "sim://grbl"\n')
    (home / "usbshare.toml").write_text(enrolment)
    (home / "bad.toml").write_text("[queue]\nmax_commands = 0\n[bridge]\nportt = 1\n")
    (home / "coaster.nc").write_text("G21 G90\nM4 S200\nG1 X10 F600\nM5\n")
    (home / "machine.txt").write_text("$30=1000\n$32=1\n$110=6000\n$130=300\n$131=200\nok\n")
    config = ["--config", str(home / "services.toml")]
    with serial_service(home, *config) as (_, serial), camera_service(home, *config) as (_, camera):
        bridge = ["usbshare-bridge", "--target", serial, "--vcom", "COM10"]
        with running(bridge, home) as process:  # what a bare one does again
            process.wait_for("ready: open")
        yield Host(home, serial, camera)


# Nothing of a test listens beyond this computer.
LISTEN = {f"USBSHARE_{each}LISTEN": "127.0.0.1:0" for each in ("", "CAMERA_", "DISCOVERY_", "JOB_")}
LISTEN["USBSHARE_PANEL"] = "127.0.0.1:0"

COMMANDS = [each for each in documented() if each.is_ours and not NOT_HERE.search(each.text)]
SERVING = [
    each for each in COMMANDS if SERVES.search(" ".join(each.words)) and "doctor" not in each.words
]
ENDING = [each for each in COMMANDS if each not in SERVING]


def test_the_commands_are_found() -> None:
    assert len(ENDING) > 20
    assert len(SERVING) > 5


@pytest.mark.parametrize("each", ENDING, ids=str)
def test_a_command_does_what_it_is_for_or_says_why_not(
    each: Documented, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = host.words(each)
    monkeypatch.chdir(host.home)
    code, output = run(words, host.home)
    assert "Traceback" not in output
    assert output.strip() or code == 0
    assert code in ({2} if WRONG.search(each.text) else {0, 1}), output


@pytest.mark.parametrize("each", SERVING, ids=str)
def test_a_command_that_runs_until_it_is_ended_starts(each: Documented, host: Host) -> None:
    words = host.words(each)
    process = Process(words, {**environment(host.home), **LISTEN})
    try:
        process.wait_for(READY)
    finally:
        process.stop()
    assert "Traceback" not in process.output
