"""gRPC's handshake trace, the only place where it says whom it refused and why.

A failed handshake of a server reads (GRPC_VERBOSITY=INFO, GRPC_TRACE=handshaker), in one write:

    I0131 10:00:00.000000  77 handshaker.cc:155] CallNextHandshakerLocked: error=UNKNOWN: <why>
    === Source Location Trace: ===
    src/core/util/status_helper.cc:68
     shutdown=false index=2, args={... grpc.internal.endpoint_peer_address=ipv4:192.0.2.7:4012, ...

The rest of the trace adds nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

_HEAD = re.compile(rb"[IWEF]\d{4} [\d:.]+ +\d+ (?P<file>[\w./-]+):\d+\] ")
_CONTINUED = re.compile(rb"=== |src/|external/| shutdown=|\s*$")
_FAILED = re.compile(rb"CallNextHandshakerLocked: error=(?!OK\b)(?P<why>.*?)(?: shutdown=|$)")
_PEER = re.compile(rb"endpoint_peer_address=(?P<family>\w+):(?P<address>[^,}\s]+)")
_OF_SERVER = b"grpc.internal.server_credentials="
_FATAL = b"F"
_BROKEN_LATER = re.compile(rb"OPENSSL_internal:(?P<why>NO_RENEGOTIATION)")
_LONGEST_HEAD_BYTES = 200
_MAY_BE_HEAD = re.compile(rb"[IWE](\d{0,4}|\d{4} [^\]]*\]?)")


@dataclass(frozen=True, slots=True)
class Failure:
    """A handshake that failed: with whom (`192.0.2.7:4012`, "" if not known), and gRPC's reason."""

    address: str
    why: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """Not gRPC's talk; belongs on stderr as it is."""

    line: bytes


@dataclass(frozen=True, slots=True)
class Remark:
    """Something else that gRPC says."""

    text: str


Found = Failure | Foreign | Remark


class TraceReader:
    """Takes what is written to stderr, line by line."""

    def __init__(self) -> None:
        self._why = ""
        self._in_record = False

    def read(self, line: bytes) -> Found | None:
        """Return what a line, with its end, completes; None if it says nothing of interest."""
        head = _HEAD.match(line)
        if head is not None and line[:1] != _FATAL:
            self._in_record = True
            self._why = ""
            return self._begin(line[head.end() :], head["file"])
        if self._in_record and _CONTINUED.match(line):
            return self._failure(line)
        self._in_record = False
        return Foreign(line)

    def may_be_ours(self, start: bytes) -> bool:
        """Return whether a line that starts so, and is not finished, may become one of gRPC's."""
        if _HEAD.match(start) or (self._in_record and _CONTINUED.match(start)):
            return True
        return len(start) < _LONGEST_HEAD_BYTES and _MAY_BE_HEAD.fullmatch(start) is not None

    def interrupted(self) -> None:
        """Note that others write: what follows does not continue gRPC's record."""
        self._in_record = False

    def _begin(self, text: bytes, file: bytes) -> Found | None:
        if failed := _FAILED.search(text):
            self._why = failed["why"].strip().decode("utf-8", "replace")
            return self._failure(text)
        if broken := _BROKEN_LATER.search(text):
            return Failure("", broken["why"].decode())
        if file.endswith((b"handshaker.cc", b"channel_trace.h", b"trace.cc", b"log.cc")):
            return None
        return Remark(text.strip().decode("utf-8", "replace"))

    def _failure(self, text: bytes) -> Failure | None:
        peer = _PEER.search(text)
        if peer is None or not self._why:
            return None
        why, self._why = self._why, ""
        if _OF_SERVER not in text:  # our own call, reported elsewhere
            return None
        return Failure(unquote(peer["address"].decode("utf-8", "replace")), why)
