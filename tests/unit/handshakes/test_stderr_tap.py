"""What is written to fd 2 is read, and nothing is lost; tried in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

PREPARED = """
import logging, os, signal, subprocess, sys
from usbshare.handshakes.stderr_tap import tapped_stderr

def read(chunk, pass_on):
    pass_on(chunk.replace(b"secret", b"******"))
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PREPARED + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_output_of_c_code_is_read_and_pythons_passes() -> None:
    ended = run("""
        logging.basicConfig(format="%(message)s")
        with tapped_stderr(read):
            os.write(2, b"a secret of C\\n")
            print("a secret of Python", file=sys.stderr)
            logging.warning("a secret of the log")
        print("after", file=sys.stderr)
        logging.warning("secret after")
    """)
    assert ended.returncode == 0
    assert set(ended.stderr.splitlines()) == {
        "a ****** of C",
        "a secret of Python",
        "a secret of the log",
        "after",
        "secret after",
    }


def test_everything_written_before_the_end_is_read() -> None:
    ended = run("""
        with tapped_stderr(read):
            for number in range(2000):
                os.write(2, b"%d\\n" % number)
    """)
    assert ended.stderr.split() == [str(number) for number in range(2000)]


def test_a_line_of_the_log_that_is_just_being_written_at_the_end_is_written() -> None:
    """A thread that waits for its turn, on a busy machine, must find its descriptor open."""
    ended = run("""
        import threading
        from usbshare.base.log_writer import LogWriter
        may_write, writes = threading.Event(), threading.Event()
        class Slow(logging.Formatter):
            def format(self, record):
                writes.set()
                may_write.wait(30)
                return super().format(record)
        handler = LogWriter(sys.stderr)
        handler.setFormatter(Slow())
        logging.basicConfig(level="INFO", handlers=[handler])
        with tapped_stderr(read):
            logging.info("stopped")
            writes.wait(30)
        may_write.set()
    """)
    assert ended.returncode == 0
    assert ended.stderr == "stopped\n"


def test_a_child_that_survives_does_not_delay_the_end() -> None:
    ended = run("""
        with tapped_stderr(read):
            child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
            os.write(2, b"end\\n")
        child.kill()
    """)
    assert ended.stderr == "end\n"


def test_a_full_pipe_loses_lines_and_blocks_no_caller() -> None:
    ended = run("""
        import threading
        go_on = threading.Event()
        def read(chunk, pass_on):
            go_on.wait(30)
        with tapped_stderr(read):
            try:
                for _ in range(100_000):
                    os.write(2, b"x" * 1000)
            except BlockingIOError:
                print("full", file=sys.stderr)
            go_on.set()
    """)
    assert ended.stderr == "full\n"


def test_an_uncaught_error_is_shown_whole() -> None:
    ended = run("""
        with tapped_stderr(read):
            raise ValueError("the reason")
    """)
    assert ended.returncode == 1
    assert "ValueError: the reason" in ended.stderr


def test_the_last_words_of_a_crash_reach_stderr() -> None:
    ended = run("""
        with tapped_stderr(read):
            os.kill(os.getpid(), signal.SIGSEGV)
    """)
    assert ended.returncode == -11
    assert "Fatal Python error: Segmentation fault" in ended.stderr


def test_the_end_does_not_wait_for_a_stderr_that_is_never_read() -> None:
    reading, writing = os.pipe()
    program = """
        os.set_blocking(2, True)
        with tapped_stderr(read):
            try:
                for _ in range(100_000):
                    os.write(2, b"x" * 1000)
            except BlockingIOError:
                print("full", flush=True)
        print("ended", flush=True)
    """
    ended = subprocess.run(
        [sys.executable, "-c", PREPARED + textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=writing,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(reading)
    os.close(writing)
    assert (ended.returncode, ended.stdout) == (0, "full\nended\n")
