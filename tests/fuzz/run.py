"""Fuzz in rounds, each with another seed, until the time is over: `run.py MINUTES`."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def main(minutes: float) -> int:
    """Return 0 when nothing was found."""
    end, rounds = time.monotonic() + minutes * 60, 0
    while time.monotonic() < end:
        seed = secrets.randbelow(2**32)
        rounds += 1
        options = ["-q", "--timeout", "1800", "--hypothesis-profile", "long"]
        code = pytest.main([str(FOLDER), *options, f"--hypothesis-seed={seed}"])
        if code:
            return int(code)
    sys.stdout.write(f"{rounds} rounds, nothing found\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
