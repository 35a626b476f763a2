"""The chain of audit lines: each names the hash of the one before it and its own.

A line's hash is the SHA-256 of its bytes without `,"hash":"…"`, so that any changed byte shows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

START_HASH = "0" * 64
# The event of a line that the writer adds where it finds lines but no head.
HEAD_LOST = "head file lost"
LONGEST_TEXT = 2000
_OWN = frozenset({"seq", "prev", "hash"})
_SEAL = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n?\Z')


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of a chain: how many lines it has had, and the hash of the last one.

    `head_was_lost`: that line says that its writer did not know where the chain had ended.
    """

    seq: int = 0
    hash: str = START_HASH
    head_was_lost: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the line that came last."""

    why: str


class BrokenChainError(ValueError):
    """A line is not what the chain says; the text says why."""


def link(tip: Tip, fields: Mapping[str, object]) -> tuple[bytes, Tip]:
    """Return the line, with its end, that follows on the tip, and the new tip."""
    body = _encoded({"seq": tip.seq + 1, **_printable(fields), "prev": tip.hash})
    digest = hashlib.sha256(body).hexdigest()
    return b'%s,"hash":"%s"}\n' % (body[:-1], digest.encode()), Tip(tip.seq + 1, digest)


def check(line: bytes) -> tuple[dict[str, Any], Tip]:
    """Return what an untouched line says, and the tip that it makes; BrokenChainError."""
    sealed = _SEAL.search(line)
    if sealed is None or not line.endswith(b"\n"):
        raise BrokenChainError("it is not a complete audit log line")
    digest = hashlib.sha256(line[: sealed.start()] + b"}").hexdigest()
    if digest.encode() != sealed[1]:
        raise BrokenChainError("it was changed: its hash does not match")
    return _parsed(line, digest)


def verify(lines: Iterable[bytes], tip: Tip | None = None) -> Iterator[Tip | Fault]:
    """Yield the tip after each line, and a fault before it where it does not follow on.

    Without a tip the first line may be any. After a fault it goes on from the line found.
    """
    for line in lines:
        try:
            entry, found = check(line)
        except BrokenChainError as error:
            yield Fault(str(error))
            tip = None if tip is None else Tip(tip.seq + 1, "")
            continue
        if tip is not None and (why := _break(tip, entry, found)):
            yield Fault(why)
        tip = found
        yield tip


def _encoded(entry: Mapping[str, object]) -> bytes:
    """Return JSON of ASCII, so that no text, however broken, prevents a line."""
    try:
        return json.dumps(entry, separators=(",", ":"), default=repr).encode()
    except (TypeError, ValueError):  # a field that is circular, or has keys of other types
        plain = {key: v if isinstance(v, str | int) else repr(v) for key, v in entry.items()}
        return json.dumps(plain, separators=(",", ":")).encode()


def is_incomplete(line: bytes) -> bool:
    """Return whether a line's end is missing, as where a writer was killed."""
    return not line.endswith(b"\n")


def _parsed(line: bytes, digest: str) -> tuple[dict[str, Any], Tip]:
    try:
        entry = json.loads(line)
        return entry, Tip(int(entry["seq"]), digest, entry.get("event") == HEAD_LOST)
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenChainError("it is not an audit log line") from error


def _break(tip: Tip, entry: Mapping[str, Any], found: Tip) -> str:
    if found.seq > tip.seq + 1:
        return f"{_lines(tip.seq + 1, found.seq - 1)} missing before it"
    if found.seq <= tip.seq:
        return f"line {found.seq} follows line {tip.seq}: repeated or out of order"
    # An empty hash: the previous line is itself broken, and was reported.
    if tip.hash and entry.get("prev") != tip.hash:
        return "the line before it was replaced: its hash does not match the one recorded here"
    return ""


def _lines(first: int, last: int) -> str:
    return f"line {first} is" if first == last else f"lines {first} to {last} are"


def _printable(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields that say something, long texts cut; hash and prev are the chain's own."""
    return {
        key: value[:LONGEST_TEXT] if isinstance(value, str) else value
        for key, value in fields.items()
        if value != "" and value is not None and key not in _OWN
    }
