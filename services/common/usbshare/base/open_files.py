"""How many connections and files this process may have open."""

from __future__ import annotations

import logging
from contextlib import suppress

_log = logging.getLogger(__name__)


def allow_most_open_files() -> None:
    """Raise the limit as far as the system allows, so that a flood of connections leaves room."""
    try:
        import resource  # noqa: PLC0415 - POSIX only; Windows has no such limit
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS says unlimited, and allows less
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        _log.debug("up to %d files and connections may be open, instead of %d", hard, soft)
