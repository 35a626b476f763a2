"""Where the console script begins."""

from usbshare.service.start import start_service


def main() -> None:
    """Run the USB service's command line."""
    start_service("usb-svc", "usbshare.usb_svc.cli")


if __name__ == "__main__":
    main()
