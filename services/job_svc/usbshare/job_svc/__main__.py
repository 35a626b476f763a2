"""Where the console script begins: the environment first, then all else."""

import sys

from usbshare.base.extras import importing, require_extra
from usbshare.base.standard_streams import ensure_standard_streams
from usbshare.base.version import is_version_asked, tell_version
from usbshare.rpc.grpc_environment import prepare_grpc_to_serve


def main() -> None:
    """Run the job service's command line."""
    ensure_standard_streams()
    if is_version_asked(sys.argv):
        tell_version("job-svc")
        return
    require_extra("job-svc")
    prepare_grpc_to_serve()
    with importing("job-svc"):
        from usbshare.job_svc.cli import main as run  # noqa: PLC0415 - imports grpc
    run()


if __name__ == "__main__":
    main()
