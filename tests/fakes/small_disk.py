"""A disk of a few megabytes that can be filled to its last byte: a tmpfs in a mount namespace.

Only what is started by `place` sees it; others look through the namespace's root in /proc. Needs
Linux, root, and `unshare`, `nsenter` and `mount` (util-linux).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

COMMAND_TIMEOUT_S = 30.0
_TOOLS = ("unshare", "nsenter", "mount")


class SmallDisk:
    """A folder with a disk of its own."""

    def __init__(self, folder: Path, holder: int) -> None:
        self.folder = folder
        self._holder = holder
        self._filler = self.outside / "filler"

    def place(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line that runs a command where the disk is."""
        return ["nsenter", "-t", str(self._holder), "-m", "--", *arguments]

    def run(self, script: str, *arguments: str) -> str:
        """Run Python where the disk is, with our fakes at hand; returns what it prints."""
        words = self.place([sys.executable, "-c", script, *arguments])
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(
            words,
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def outside(self) -> Path:
        """Where the folder is found from outside."""
        return Path(f"/proc/{self._holder}/root{self.folder}")

    @property
    def free_bytes(self) -> int:
        """How much there is room for."""
        return shutil.disk_usage(self.outside).free

    def fill(self) -> None:
        """Leave room for nothing."""
        descriptor = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            with suppress(OSError):  # ENOSPC
                while True:
                    os.write(descriptor, bytes(64 * 1024))
        finally:
            os.close(descriptor)
        assert self.free_bytes == 0

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink()


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Have a disk at a folder, or skip the test and say why."""
    if os.geteuid() != 0 or not all(shutil.which(each) for each in _TOOLS):
        pytest.skip("needs root, and unshare, nsenter and mount")
    folder.mkdir(parents=True, exist_ok=True)
    mount = f"mount -t tmpfs -o size={size_bytes},mode=700 small {folder} && echo ready && exec cat"
    holder = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", mount],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stderr is not None
        try:
            if holder.stdout.readline() != b"ready\n":
                pytest.skip(f"no mount of its own: {holder.stderr.read().decode().strip()}")
            yield SmallDisk(folder, holder.pid)
        finally:
            holder.stdin.close()
            holder.wait(COMMAND_TIMEOUT_S)
