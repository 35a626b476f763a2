"""A virtual machine with a real kernel, driven through the tool that USBSHARE_GUEST names.

The tool takes `boot`, `run COMMAND`, `monitor LINE` and `stop`; USBSHARE_GUEST_SHARE is a folder of
this machine that is /host in the guest. Commands run as root there, and may take GUEST_TIMEOUT
seconds, so what takes long is started and then looked at.
"""

from __future__ import annotations

import compileall
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PORTIONS: list[str] = _PROJECT["tool"]["hatch"]["build"]["dev-mode-dirs"]
_SKIPPED = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".mypy_cache", ".ruff_cache")
PROGRAMS = ("serial-svc", "camera-svc", "discovery-svc", "job-svc", "usb-svc")
BRIDGE = "usbshare-bridge"
_COMMAND_S = 60
_POLL_S = 3.0
START_S = 240.0
_UNPACK_S = 1800.0
# What no service and no test in a guest imports, and takes much room.
_TOOLS = re.compile(r"\./(playwright|mypy|ruff|buf)[^/]*(/|$)|.*editable")
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


class Guest:
    """The machine, with this repository and this Python's packages in it."""

    def __init__(self) -> None:
        self._tool = os.environ["USBSHARE_GUEST"]
        self._share = Path(os.environ["USBSHARE_GUEST_SHARE"])

    def boot(self, init: str = "") -> None:
        """Start it, with what it needs; with `systemd` as its init if that is asked for."""
        source, packages = self._share / "src", self._share / "site"
        shutil.copytree(REPOSITORY, source, ignore=_SKIPPED, dirs_exist_ok=True)
        if not packages.exists():
            shutil.copytree(sysconfig.get_path("purelib"), packages)
        paths = ":".join([*(f"/host/src/{portion}" for portion in PORTIONS), "/host/src"])
        (self._share / "env.sh").write_text(
            f"export PYTHONPATH={paths}:/host/site PYTHONPYCACHEPREFIX=/tmp/pyc BENCH_READY_S=240\n"
            "export PYTHONUNBUFFERED=1; cd /host/src\n"
        )
        subprocess.run([self._tool, "boot", *filter(None, [init])], check=True, stdout=sys.stderr)

    def install(self, folder: str) -> None:
        """Make an environment there whose programs are those of a wheel of this repository."""
        wheels = self._share / "wheel"
        shutil.rmtree(wheels, ignore_errors=True)
        build = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(wheels)]
        subprocess.run([sys.executable, "-m", *build, str(REPOSITORY)], check=True)
        packages = f"{folder}/lib/{PYTHON}/site-packages"
        self.run(f"python3 -m venv --without-pip {folder}")
        self.unpack("site", packages)
        with zipfile.ZipFile(next(wheels.glob("*.whl"))) as archive:
            archive.extractall(wheels / "content")
        self.unpack("wheel/content", packages)
        for program in (*PROGRAMS, BRIDGE):
            module = "bridge" if program == BRIDGE else program.replace("-", "_")
            start = f"from usbshare.{module}.__main__ import main; main()"
            script = f"#!{folder}/bin/python\n{start}\n"
            self.run(
                f"printf '{script}' > {folder}/bin/{program}; chmod 755 {folder}/bin/{program}"
            )

    def unpack(self, folder: str, to: str, left_out: re.Pattern[str] = _TOOLS) -> None:
        """Copy a folder of the shared one to the machine's own disk.

        One large file passes the shared folder at once, many small ones take minutes, and so does
        each import over it. Bytecode goes along: the user of a unit can keep none.
        """

        def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
            return None if left_out.match(member.name) else member

        compileall.compile_dir(self._share / folder, quiet=2)
        name = folder.replace("/", "-") + ".tar"
        with tarfile.open(self._share / name, "w") as archive:
            archive.add(self._share / folder, ".", filter=wanted)
        done = f"/tmp/{name}.log"
        self.begin(f"sh -c 'mkdir -p {to} && tar -C {to} -xf /host/{name}; echo ended $?'", done)
        assert self.wait_for(f"cat {done}", r"ended (\d+)", _UNPACK_S)[1] == "0"

    def stop(self) -> None:
        """End it."""
        subprocess.run([self._tool, "stop"], check=True)

    def run(self, command: str) -> str:
        """Run a command; returns what it says."""
        done = subprocess.run(
            [self._tool, "run", f". /host/env.sh; {command}"],
            env={**os.environ, "GUEST_TIMEOUT": str(_COMMAND_S)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def begin(self, command: str, log: str) -> None:
        """Start a command that goes on, with its words in a file of the guest."""
        self.run(f"(setsid nohup {command} >{log} 2>&1 </dev/null &)")

    def monitor(self, line: str) -> None:
        """Give the machine's monitor a line: plug in, unplug."""
        subprocess.run([self._tool, "monitor", line], check=True)

    def wait_for(self, command: str, pattern: str, deadline_s: float = START_S) -> re.Match[str]:
        """Return once the command's words match; fails with them otherwise."""
        end = time.monotonic() + deadline_s
        while not (found := re.search(pattern, said := self.run(command))):
            assert time.monotonic() < end, said
            time.sleep(_POLL_S)
        return found

    def until(self, holds: Callable[[], bool], deadline_s: float = START_S) -> None:
        """Return once the condition holds."""
        end = time.monotonic() + deadline_s
        while not holds():
            assert time.monotonic() < end
            time.sleep(_POLL_S)
