"""Analyses files in a separate process, so that machines do not wait for it."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usbshare.analysis.analyse import MAX_BYTES, Progress
from usbshare.analysis.records import Analysis, MachineFacts
from usbshare.base.errors import InvalidArgumentError, LimitError, UsbshareError

MODULE = "usbshare.analysis.worker_main"
TIMEOUT_S = 1800.0
MEMORY_BYTES = 1 << 30
_LONGEST_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Preview:
    """What a preview holds; `is_cut`: not all moves, since there are too many."""

    segments: int
    is_cut: bool


async def analyse_aside(
    path: Path,
    *,
    machine: MachineFacts | None = None,
    passes: int = 1,
    line_bytes_per_s: float = 0.0,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = TIMEOUT_S,
    progress: Progress | None = None,
) -> Analysis:
    """Analyse a file as `analyse` does, in a process of the lowest priority.

    The process ends when this is cancelled, and with this process. Raises InvalidArgumentError if
    the file is no G-code or too large, LimitError when it takes too long or too much memory.
    """
    request = {
        "task": "analyse",
        "path": str(path),
        "machine": _machine_as_json(machine),
        "passes": passes,
        "line_bytes_per_s": line_bytes_per_s,
        "max_bytes": max_bytes,
    }
    return Analysis.from_json(await _run(request, timeout_s=timeout_s, progress=progress))


async def preview_aside(
    path: Path,
    output: Path,
    *,
    as_json: bool = False,
    machine: MachineFacts | None = None,
    width_px: int = 0,
    from_line: int = 0,
    title: str = "",
    max_bytes: int = MAX_BYTES,
    timeout_s: float = TIMEOUT_S,
    progress: Progress | None = None,
) -> Preview:
    """Write a picture of a file's tool path, or its segments as JSON, into another file.

    `width_px` is 64 to 4096, 0 for 1024; what is before `from_line` is drawn as done. Raises what
    `analyse_aside` does, OSError if the output cannot be written.
    """
    request = {
        "task": "preview",
        "path": str(path),
        "output": str(output),
        "format": "json" if as_json else "png",
        "machine": _machine_as_json(machine),
        "width_px": width_px,
        "from_line": from_line,
        "title": title,
        "max_bytes": max_bytes,
    }
    found = await _run(request, timeout_s=timeout_s, progress=progress)
    return Preview(found["segments"], found["is_cut"])


async def preamble_aside(path: Path, line: int, *, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Return what `preamble` returns; raises what `preamble` and `analyse_aside` do."""
    request = {"task": "preamble", "path": str(path), "line": line}
    found = await _run(request, timeout_s=timeout_s, progress=None)
    lines: list[str] = found["lines"]
    return lines


async def _run(
    request: dict[str, Any], *, timeout_s: float, progress: Progress | None
) -> dict[str, Any]:
    try:
        async with asyncio.timeout(timeout_s), _worker() as process:
            return await _converse(process, request, progress)
    except TimeoutError as error:
        raise LimitError(f"the analysis took more than {timeout_s:.0f} s") from error


def _machine_as_json(machine: MachineFacts | None) -> dict[str, Any] | None:
    """Return a machine as a worker expects it."""
    if machine is None:
        return None
    settings = [[number, value] for number, value in machine.settings.items()]
    return {"settings": settings, "work_offset": machine.work_offset}


@asynccontextmanager
async def _worker() -> AsyncIterator[Process]:
    # -P: never import from the folder that the service happens to be in.
    command = [sys.executable, "-P", "-m", MODULE]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE_BYTES
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


async def _converse(
    process: Process, request: dict[str, Any], progress: Progress | None
) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a worker without pipes")
    request = {**request, "memory_bytes": MEMORY_BYTES}
    process.stdin.write(json.dumps(request).encode() + b"\n")
    async for line in process.stdout:
        answer = json.loads(line)
        if "result" in answer:
            result: dict[str, Any] = answer["result"]
            return result
        if "lines_done" not in answer:
            raise _error(answer)
        if progress is not None:
            progress(answer["lines_done"])
    code = await process.wait()
    raise UsbshareError(f"the analysis ended without a result (exit code {code})")


def _error(answer: dict[str, Any]) -> Exception:
    if "os_error" in answer:
        number, text, filename = answer["os_error"]
        return OSError(number, text, filename)
    if "limit" in answer:
        return LimitError(answer["limit"])
    return InvalidArgumentError(answer["invalid"])
