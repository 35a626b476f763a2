"""The entry point of every service: the environment first, then everything else."""

from __future__ import annotations

import importlib
import sys

from usbshare.base.extras import importing, require_extra
from usbshare.base.standard_streams import ensure_standard_streams
from usbshare.base.version import is_version_asked, tell_version
from usbshare.rpc.grpc_environment import prepare_grpc_to_serve


def start_service(program: str, module: str) -> None:
    """Run the `main` of a module, which imports gRPC, or answer `--version` without it."""
    ensure_standard_streams()
    if is_version_asked(sys.argv):
        tell_version(program)
        return
    require_extra(program)
    prepare_grpc_to_serve()
    with importing(program):
        command_line = importlib.import_module(module)
    command_line.main()
