"""The commands that the pages show: what follows a `$` in a code block."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "services").rglob("*.md")),
]
PROGRAMS = frozenset(
    {"bridge", "usbshare-bridge", "serial-svc", "discovery-svc", "camera-svc", "job-svc", "usb-svc"}
)

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
_SUDO = re.compile(r"sudo (-u \w+ )?")
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S+ ")


@dataclass(frozen=True, slots=True)
class Documented:
    """One command: where it is, and its words as a shell reads them."""

    page: str
    text: str
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        """The name of what is run, without its folder."""
        return self.words[0].rpartition("/")[2]

    @property
    def is_ours(self) -> bool:
        """Whether it is one of our console scripts."""
        return self.program in PROGRAMS

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def documented() -> Iterator[Documented]:
    """Yield each command once, pages in order."""
    seen: set[str] = set()
    for page in PAGES:
        for fence in _FENCE.findall(page.read_text(encoding="utf-8")):
            for text in _PROMPT.findall(fence):
                line = text.replace("\\\n", " ")
                if line not in seen:
                    seen.add(line)
                    yield from _read(str(page.relative_to(ROOT)), line)


def _read(page: str, line: str) -> Iterator[Documented]:
    """Yield the command, but for what is the shell's own: pipes, subshells, scripts of others."""
    if re.match(r"[(.]|awk |tar |gpg ", line):
        return
    command = _ASSIGNMENT.sub("", _SUDO.sub("", line))
    words = tuple(shlex.split(re.split(r" [|>] ", command)[0], comments=True))
    yield Documented(page, line, words)
