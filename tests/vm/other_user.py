"""Another user of this computer, with no rights of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.processes import SCRIPTS, Process, environment
from vm.real_kernel import DEADLINE_S

NOBODY = 65534
# Below a home, as `environment` of fakes.processes has it.
CERTIFICATE = "config/usbshare/client.pem"
_BECOME = ("vm.other_user", "become")


def become() -> None:
    """Be that user from now on."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def does(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the system as that user."""
    return subprocess.run(
        words,
        user=NOBODY,
        group=NOBODY,
        extra_groups=(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def may_read(path: Path) -> bool:
    """Return whether that user can read a file."""
    return does("test", "-r", str(path)).returncode == 0


@contextmanager
def running_as_other(
    arguments: Sequence[str], certificate: Path | None = None
) -> Iterator[Process]:
    """Run a script of ours as that user, with a client's certificate if that is given.

    The test is skipped where it cannot be read.
    """
    if not may_read(SCRIPTS / arguments[0]):
        pytest.skip(f"another user cannot read {SCRIPTS}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        variables = environment(home)
        if certificate is not None:
            (home / CERTIFICATE).parent.mkdir(mode=0o700, parents=True)
            shutil.copy(certificate, home / CERTIFICATE)
        for each in (home, *home.rglob("*")):
            os.chown(each, NOBODY, NOBODY)
        process = Process(arguments, variables, first=[_BECOME])
        try:
            yield process
        finally:
            process.stop()
