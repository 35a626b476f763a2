"""Processes of the panel on Windows, which end with it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# CREATE_NEW_PROCESS_GROUP: a Ctrl-C in the panel's console does not reach it.
_NEW_GROUP = 0x200


@dataclass(slots=True)
class _Running:
    """A child of ours."""

    child: subprocess.Popen[bytes]

    @property
    def is_alive(self) -> bool:
        return self.child.poll() is None

    def end(self) -> None:
        self.child.terminate()

    def kill(self) -> None:
        self.child.kill()


class WindowsLauncher:
    """See the top."""

    outlives = False

    def start(self, command: Sequence[str], log: Path, lock: Path) -> _Running:
        """Start a process without a window of its own."""
        del lock
        with log.open("ab") as written:
            return _Running(
                subprocess.Popen(  # noqa: S603 - our own program
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=written,
                    creationflags=_NEW_GROUP,
                )
            )

    def find(self, lock: Path) -> None:
        """Return None: none outlives the panel."""
        del lock
