"""Where the console script begins: the environment first, then all else."""

import sys

from usbshare.base.extras import importing, require_extra
from usbshare.base.standard_streams import ensure_standard_streams
from usbshare.base.version import is_version_asked, tell_version
from usbshare.rpc.grpc_environment import prepare_grpc_to_serve


def main() -> None:
    """Run the discovery service's command line."""
    ensure_standard_streams()
    if is_version_asked(sys.argv):
        tell_version("discovery-svc")
        return
    require_extra("discovery-svc")
    prepare_grpc_to_serve()
    with importing("discovery-svc"):
        from usbshare.discovery_svc.cli import main as run  # noqa: PLC0415 - imports grpc
    run()


if __name__ == "__main__":
    main()
