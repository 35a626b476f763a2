"""Where the console script begins: the environment first, then all else."""

import sys

from usbshare.base.standard_streams import ensure_standard_streams
from usbshare.common.grpc_environment import prepare_grpc_to_serve


def main() -> None:
    """Run the camera service's command line."""
    ensure_standard_streams()
    prepare_grpc_to_serve()
    try:
        from usbshare.camera_svc.cli import main as run  # noqa: PLC0415 - imports grpc
    except ImportError as error:  # of the extra, or a library of the system that OpenCV needs
        sys.exit(f"camera-svc: {error}: install it with: pip install 'usbshare[camera]'")
    run()


if __name__ == "__main__":
    main()
