# ruff: noqa: S603, T201 - runs pip, talks to a person
"""What `make` needs to set up: whether this Python can, and pip with a counter for its talk.

Needs nothing but Python, and reads on old ones, to say what is wrong with them.
"""

import importlib.util
import platform
import re
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
_COUNTED = re.compile(r"(?:Collecting|Requirement already satisfied:) ")
_REQUIREMENT = re.compile(r"^[A-Za-z0-9]", re.MULTILINE)


def obstacle(version, longest, has_ensurepip, machine):
    """Return what stands in the way of an environment and how to mend it, empty if nothing."""
    shown = ".".join(map(str, version[:3]))
    if tuple(version[:2]) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return (
            f"usbshare needs Python {wanted} or newer; {sys.executable} is {shown}. Try: "
            f"make PYTHON=python{wanted}"
        )
    if longest < 2**32:
        return (
            f"usbshare needs a 64-bit Python; this one is 32-bit ({machine}), which its libraries "
            "are not built for. On a Raspberry Pi install the 64-bit Raspberry Pi OS"
        )
    if not has_ensurepip:
        return (
            "this Python cannot make environments: on Debian, Ubuntu and Raspberry Pi OS "
            "`sudo apt install python3-venv`, then the same again"
        )
    return ""


def check():
    """Return the exit code: 0 if this Python can make an environment."""
    has_ensurepip = importlib.util.find_spec("ensurepip") is not None
    why = obstacle(sys.version_info, sys.maxsize, has_ensurepip, platform.machine())
    if why:
        print(why, file=sys.stderr)
    return 1 if why else 0


def install(files):
    """Install locked requirements, with a counter; returns pip's exit code, its talk if not 0."""
    total = sum(len(_REQUIREMENT.findall(Path(name).read_text())) for name in files)
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "--require-hashes"]
    for name in files:
        command += ["-r", name]
    counter, talk = Counter(total), []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        for line in pip.stdout:
            talk.append(line)
            if line.startswith("Ignoring "):  # of another platform
                counter.total -= 1
            elif _COUNTED.match(line):
                counter.step()
            elif line.startswith("Installing collected"):
                counter.end("unpacking them")
    if pip.returncode:
        counter.end("failed; what pip said:")
        sys.stdout.writelines(talk)
    return pip.returncode


class Counter:
    """`12 of 41`, on a terminal in one line that changes, else now and then."""

    def __init__(self, total):
        self.total = total
        self._done = 0
        self._is_live = sys.stdout.isatty()

    def step(self):
        """Count one more."""
        self._done += 1
        text = f"  {self._done} of {max(self.total, self._done)} packages"
        if self._is_live:
            print("\r" + text, end="", flush=True)
        elif self._done % 10 == 0:
            print(text, flush=True)

    def end(self, text):
        """Say what comes next, on a line of its own."""
        if self._is_live and self._done:
            print()
        print("  " + text, flush=True)


if __name__ == "__main__":
    sys.exit(check() if sys.argv[1:] == ["check"] else install(sys.argv[1:]))
