"""Shells complete commands, options, hosts and ports, from what this computer knows."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fakes.processes import SCRIPTS, environment, run, serial_service

PROGRAMS = ["usbshare-bridge", "serial-svc", "camera-svc", "discovery-svc", "job-svc"]


def completed(home: Path, *words: str) -> set[str]:
    """Return what bash offers for the last word, by the lines that the program prints."""
    program = words[0]
    quoted = " ".join(f"'{word}'" for word in words)
    name = program.replace("-", "_")
    script = (
        f'eval "$({program} completion bash)"\n'
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        f'_{name}_completion {program} "${{COMP_WORDS[COMP_CWORD]}}"\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment(home), "PATH": f"{SCRIPTS}:{os.environ['PATH']}"},
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_commands_and_options_are_completed(tmp_path: Path) -> None:
    assert completed(tmp_path, "usbshare-bridge", "st") == {"status", "stop"}
    assert completed(tmp_path, "usbshare-bridge", "stop", "--re") >= {"--resume", "--rearm"}
    assert completed(tmp_path, "serial-svc", "pki", "inv") == {"invite"}


def test_hosts_and_ports_that_are_known_are_completed(tmp_path: Path) -> None:
    config = tmp_path / "config" / "usbshare"
    config.mkdir(parents=True)
    hosts = '[hosts.workshop]\naddress = "192.0.2.1"\n[bridge]\ntarget = "attic"\n'
    (config / "usbshare.toml").write_text(hosts, encoding="ascii")
    with serial_service(tmp_path) as (_, target):
        code, output = run(["usbshare-bridge", "list", "--target", target], tmp_path)
        assert code == 0, output
    known = completed(tmp_path, "usbshare-bridge", "--target", "")
    assert {"workshop", "attic"} <= known
    assert any(target.partition(":")[0] in each for each in known), known
    assert completed(tmp_path, "usbshare-bridge", "list", "--target", "work") == {"workshop"}
    assert "demo" in completed(tmp_path, "usbshare-bridge", "stop", "--port", "d")


def test_unreadable_files_give_no_completions(tmp_path: Path) -> None:
    config = tmp_path / "config" / "usbshare"
    config.mkdir(parents=True)
    os.mkfifo(config / "usbshare.toml")
    assert completed(tmp_path, "usbshare-bridge", "--target", "") == set()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_program_prints_the_lines_for_every_shell(
    tmp_path: Path, program: str, shell: str
) -> None:
    code, output = run([program, "completion", shell], tmp_path)
    assert code == 0, output
    assert program in output
    if (interpreter := shutil.which(shell)) is not None:
        option = "--no-execute" if shell == "fish" else "-n"
        subprocess.run([interpreter, option], input=output, text=True, check=True, timeout=60)
