"""Where the console script begins."""

from usbshare.service.start import start_service


def main() -> None:
    """Run the job service's command line."""
    start_service("job-svc", "usbshare.job_svc.cli")


if __name__ == "__main__":
    main()
