"""Where the console script begins."""

from usbshare.service.start import start_service


def main() -> None:
    """Run the camera service's command line."""
    start_service("camera-svc", "usbshare.camera_svc.cli")


if __name__ == "__main__":
    main()
