"""The job service: programs stored on the host and streamed to its machines."""
