"""What is told to who watches jobs while the link to their host is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from usbshare.client.jobs.messages import HELD, RUNNING, RemoteJob


class LinkNotices:
    """Tells of each lost link, each of its reasons once, and of its return.

    `leave` is called before something is told.
    """

    def __init__(self, tell: Callable[[str], None], leave: Callable[[], None]) -> None:
        self._tell = tell
        self._leave = leave
        self._told: set[str] = set()
        self._jobs: Sequence[RemoteJob] = ()

    def lost(self, why: str) -> None:
        """Tell that the link is lost, and what the host does without it."""
        if why not in self._told:
            self._told.add(why)
            self._leave()
            self._tell(f"the link is lost; {without_link(self._jobs)}: {why}")

    def heard(self, *jobs: RemoteJob) -> None:
        """Note jobs as the host says they are: the link works."""
        self._jobs = jobs
        if self._told:
            self._told.clear()
            self._leave()
            self._tell("the link is back")


def without_link(jobs: Sequence[RemoteJob]) -> str:
    """Return what the host does with jobs that nobody here can reach."""
    running = [job for job in jobs if job.state == RUNNING]
    if any(job.attended for job in running):
        return "the host holds an attended job that nobody watches"
    if running:
        return "the job continues on the host without it"
    if any(job.state == HELD for job in jobs):
        return "the job stays held on the host"
    return "the host keeps its jobs"
