"""The checks of `job-svc doctor`."""
