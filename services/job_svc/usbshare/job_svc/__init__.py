"""The job service: programs that lie on the host, streamed to their machines beside it."""
