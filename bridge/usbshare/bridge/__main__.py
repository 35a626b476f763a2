"""Where the console script begins: the environment first, then all else."""

import sys

from usbshare.base.standard_streams import ensure_standard_streams
from usbshare.bridge.stop.arguments import asks_for_help, is_stop


def main() -> None:
    """Run the bridge's command line."""
    ensure_standard_streams()
    if sys.argv[1:] == ["--version"]:
        _tell_version()
        return
    if is_stop(sys.argv[1:]) and not asks_for_help(sys.argv[1:]):
        from usbshare.bridge.stop.guard import guarded_stop  # noqa: PLC0415 - only a stop needs it

        guarded_stop(sys.argv[1:], _stop)
    from usbshare.base.extras import require_extra  # noqa: PLC0415 - a stop tries all the same

    require_extra("usbshare-bridge")
    _run()


def _tell_version() -> None:
    from usbshare.base.version import tell_version  # noqa: PLC0415

    tell_version("usbshare-bridge")


def _stop() -> None:
    from usbshare.base.open_files import allow_most_open_files  # noqa: PLC0415
    from usbshare.rpc.grpc_environment import prepare_grpc_for_one_call  # noqa: PLC0415

    allow_most_open_files()
    prepare_grpc_for_one_call()
    from usbshare.bridge.stop.direct import stop_now  # noqa: PLC0415 - imports grpc

    if not stop_now(sys.argv[1:]):
        _run()


def _run() -> None:
    from usbshare.base.extras import importing  # noqa: PLC0415 - `stop` is quicker
    from usbshare.rpc.grpc_environment import prepare_grpc  # noqa: PLC0415

    with importing("usbshare-bridge"):
        prepare_grpc()
        from usbshare.bridge.cli import main as run  # noqa: PLC0415 - imports grpc
    run()


if __name__ == "__main__":
    main()
