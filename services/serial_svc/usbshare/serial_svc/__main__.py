"""Where the console script begins."""

from usbshare.service.start import start_service


def main() -> None:
    """Run the serial service's command line."""
    start_service("serial-svc", "usbshare.serial_svc.cli")


if __name__ == "__main__":
    main()
