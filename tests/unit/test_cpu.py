"""`pytest --cpu` counts processes that nobody waits for, as a browser's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cpu import used_s

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

USED_S = 0.3
CHILD = f"""
import sys, time
while time.process_time() < {USED_S}: pass
print("used", flush=True)
sys.stdin.read()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '''{CHILD}'''])"


def test_a_grandchild_that_still_runs_is_counted() -> None:
    before = used_s()
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"used\n"
        assert used_s() - before > USED_S * 0.9  # Linux tells hundredths of each process
        parent.communicate()
