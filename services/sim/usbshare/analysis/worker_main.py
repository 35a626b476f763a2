"""The process that `worker_process` starts: one request on stdin, JSON lines on stdout."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from usbshare.analysis.analyse import analyse
from usbshare.analysis.preamble import preamble
from usbshare.analysis.records import MachineFacts
from usbshare.analysis.tool_path import tool_path
from usbshare.base.errors import InvalidArgumentError

_LOWEST_PRIORITY = 19
_Task = Callable[[dict[str, Any]], dict[str, Any]]


def main() -> None:
    """Do what the request says; ends at once when stdin does."""
    request = json.loads(sys.stdin.buffer.readline())
    _be_modest(request["memory_bytes"])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _say({"result": _TASKS[request["task"]](request)})
    except InvalidArgumentError as error:
        _say({"invalid": str(error)})
    except MemoryError:
        _say({"limit": "the analysis needs more memory than it may use"})
    except OSError as error:
        _say({"os_error": [error.errno, error.strerror, error.filename]})


def _analyse(request: dict[str, Any]) -> dict[str, Any]:
    found = analyse(
        Path(request["path"]),
        machine=_machine(request["machine"]),
        passes=request["passes"],
        line_bytes_per_s=request["line_bytes_per_s"],
        max_bytes=request["max_bytes"],
        progress=lambda lines: _say({"lines_done": lines}),
    )
    return found.as_json()


def _preview(request: dict[str, Any]) -> dict[str, Any]:
    from usbshare.analysis import preview  # noqa: PLC0415 - only this needs Pillow

    path = tool_path(
        Path(request["path"]),
        _machine(request["machine"]),
        max_bytes=request["max_bytes"],
        progress=lambda lines: _say({"lines_done": lines}),
    )
    output = Path(request["output"])
    if request["format"] == "json":
        with output.open("w", encoding="ascii") as file:
            preview.write_json(path, file)
    else:
        width_px, from_line = request["width_px"], request["from_line"]
        picture = preview.png(path, width_px=width_px, from_line=from_line, title=request["title"])
        output.write_bytes(picture)
    return {"segments": len(path.lines), "is_cut": path.is_cut}


def _preamble(request: dict[str, Any]) -> dict[str, Any]:
    return {"lines": preamble(Path(request["path"]), request["line"])}


def _machine(found: dict[str, Any] | None) -> MachineFacts | None:
    if found is None:
        return None
    offset = found["work_offset"]
    return MachineFacts(dict(found["settings"]), tuple(offset) if offset is not None else None)


def _be_modest(memory_bytes: int) -> None:
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - POSIX has it only

        os.nice(_LOWEST_PRIORITY)
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - stdout is the answer


_TASKS: dict[str, _Task] = {
    "analyse": _analyse,
    "preview": _preview,
    "preamble": _preamble,
}

if __name__ == "__main__":
    main()
