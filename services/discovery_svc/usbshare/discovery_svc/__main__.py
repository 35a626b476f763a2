"""Where the console script begins."""

from usbshare.service.start import start_service


def main() -> None:
    """Run the discovery service's command line."""
    start_service("discovery-svc", "usbshare.discovery_svc.cli")


if __name__ == "__main__":
    main()
