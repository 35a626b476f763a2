"""Runs a module that knows nothing of usbshare:// so that it does: `MODULE [ARGS...]`."""

from __future__ import annotations

import importlib.util
import runpy
import sys

from usbshare.base.standard_streams import ensure_standard_streams
from usbshare.bridge.pyserial import register

USAGE = "usage: python -m usbshare.bridge.pyserial MODULE [ARGS...]"
BAD_USAGE_EXIT = 2


def main() -> None:
    """Run the module named first as `python -m` would, with the arguments after it."""
    ensure_standard_streams()
    if len(sys.argv) < 2 or sys.argv[1] in {"-h", "--help"}:
        sys.exit(_complain(USAGE))
    module = sys.argv[1]
    if not _is_there(module):
        sys.exit(_complain(f"no module named {module!r}; {USAGE}"))
    register()
    del sys.argv[0]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def _complain(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return BAD_USAGE_EXIT


if __name__ == "__main__":
    main()
