"""Log lines on stderr: text for people, JSON for machines, never waiting for stderr."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from usbshare.base.log_writer import LogWriter, log_what_python_prints


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(level: str, *, as_json: bool = False) -> None:
    """Write log lines of `level` and above to stderr, in a thread."""
    handler = LogWriter(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if as_json else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    log_what_python_prints()


def warn_on_stderr() -> None:
    """Write warnings, as they are, to stderr, in a thread: for a client that people look at."""
    logging.basicConfig(level=logging.WARNING, handlers=[LogWriter(sys.stderr)], force=True)
    log_what_python_prints()


def logging_in_force() -> tuple[str, bool]:
    """Return the level, and whether lines are JSON, for a process that is to log alike."""
    root = logging.getLogger()
    as_json = any(isinstance(each.formatter, JsonFormatter) for each in root.handlers)
    return logging.getLevelName(root.level).lower(), as_json


def lost_log_lines() -> int:
    """Return how many lines this process has dropped since stderr took none."""
    handlers = logging.getLogger().handlers
    return sum(each.lines.lost for each in handlers if isinstance(each, LogWriter))
