"""A service whose disk hangs, its log with it; see tests/fakes/frozen_disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bench.ours import PortTable, Service, start_service
from bench.stage import REPOSITORY, BenchError, Stage

_LAUNCHER = REPOSITORY / "tests/fakes/frozen_disk.py"


@dataclass(frozen=True, slots=True)
class Frozen:
    """A service, and the pipes that freeze its disk and report what its event loop requested."""

    service: Service
    control: int
    report: int

    def freeze(self) -> None:
        """Let no file call return, and no line of the log be written."""
        os.write(self.control, b"f")
        self._wait_for(b"frozen\n")

    def thaw(self) -> None:
        """Let the disk go on; raises BenchError if the event loop has asked it for anything."""
        os.write(self.control, b"t")
        said = self._wait_for(b"thawed\n")
        if b"BLOCKED" in said:
            raise BenchError(f"the event loop waited for the disk:\n{said.decode()}")

    def _wait_for(self, end: bytes) -> bytes:
        said = b""
        while not said.endswith(end):
            said += os.read(self.report, 65536)
        return said


@contextmanager
def start_frozen(
    stage: Stage,
    ports: Mapping[str, PortTable],
    module: str,
    descriptors: list[int],
    environment: Mapping[str, str],
) -> Iterator[Frozen]:
    """Start a service, run by a module of ours, whose disk can be frozen."""
    theirs, control = os.pipe()
    report, written = os.pipe()
    service = start_service(
        stage,
        ports,
        command=[sys.executable, str(_LAUNCHER), module],
        descriptors=[theirs, written, *descriptors],
        environment={
            "FROZEN_CONTROL": str(theirs),
            "FROZEN_REPORT": str(written),
            **environment,
        },
    )
    try:
        yield Frozen(service, control, report)
    finally:
        for descriptor in (theirs, control, report, written):
            os.close(descriptor)
