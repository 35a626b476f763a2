"""Where the console script begins: the environment first, then all else."""

from usbshare.base.standard_streams import ensure_standard_streams
from usbshare.common.grpc_environment import prepare_grpc_to_serve


def main() -> None:
    """Run the serial service's command line."""
    ensure_standard_streams()
    prepare_grpc_to_serve()
    from usbshare.serial_svc.cli import main as run  # noqa: PLC0415 - imports grpc

    run()


if __name__ == "__main__":
    main()
