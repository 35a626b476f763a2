"""Reports failed handshakes to administrators: a line in the log, an event in the audit."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from usbshare.base.addresses import network_of, split_host_port
from usbshare.base.errors import InvalidArgumentError
from usbshare.base.throttle import ReportedThrottle
from usbshare.handshakes.explanations import Reason, Weight, reason_of
from usbshare.handshakes.stderr_tap import tapped_stderr
from usbshare.handshakes.trace import Failure, Foreign, Remark, TraceReader
from usbshare.rpc.grpc_environment import traces_handshakes

_log = logging.getLogger(__name__)
FIRST_PERIOD_S = 1.0
# A bridge that is refused tries every second, until cancelled; monitors and others knock as long.
LONGEST_PERIOD_S = 600.0
_LONGEST_LINE_BYTES = 64 * 1024
# The services of this host knock at one another before they begin a handshake.
_OWN = ("127.0.0.1:", "[::1]:")
# Whose handshake failed, and why.
_Key = tuple[str, str]
_VERBS = {Weight.ATTEMPT: "refused", Weight.CALLED_OFF: "lost"}
_LEVELS = {Weight.ATTEMPT: logging.WARNING, Weight.CALLED_OFF: logging.INFO}


class Note(Protocol):
    """Takes note of an event in the audit log."""

    def __call__(self, event: str, *, address: str = "", **fields: object) -> None:
        """Note it; may be called from any thread."""


@contextmanager
def handshake_log(note: Note) -> Iterator[None]:
    """Report failed handshakes while the block lasts; once per process.

    Nothing is done where gRPC does not trace them, see `trace_handshakes`.
    """
    if not traces_handshakes():
        yield
        return
    teller = HandshakeTeller(note, time.monotonic)
    try:
        with tapped_stderr(Sorter(teller).read):
            yield
    finally:
        teller.close()


class Sorter:
    """Takes chunks of stderr: gRPC's lines are read, all else is passed on as it comes."""

    def __init__(self, teller: HandshakeTeller) -> None:
        self._teller = teller
        self._trace = TraceReader()
        self._rest = b""
        self._mid_line = False

    def read(self, chunk: bytes, pass_on: Callable[[bytes], None]) -> None:
        """Read on; an empty chunk means that nothing follows."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._read_line(line + b"\n", pass_on)
        if self._rest and not (chunk and self._may_wait()):
            pass_on(self._rest)
            self._trace.interrupted()
            self._rest, self._mid_line = b"", True

    def _may_wait(self) -> bool:
        """Whether the unfinished line may be gRPC's."""
        if self._mid_line or len(self._rest) > _LONGEST_LINE_BYTES:
            return False
        return self._trace.may_be_ours(self._rest)

    def _read_line(self, line: bytes, pass_on: Callable[[bytes], None]) -> None:
        found = Foreign(line) if self._mid_line else self._trace.read(line)
        self._mid_line = False
        if isinstance(found, Foreign):
            pass_on(found.line)
        elif isinstance(found, Remark):
            _log.debug("gRPC: %s", found.text)
        elif found is not None:
            self._teller.failed(found)


class HandshakeTeller:
    """Reports failures, at most once per period and address; what was left out is counted.

    Called from the thread that reads gRPC's trace; what is due later is reported by a timer.
    """

    def __init__(self, note: Note, clock: Callable[[], float]) -> None:
        self._note = note
        self._lock = threading.Lock()
        self._throttles = {
            Weight.ATTEMPT: ReportedThrottle[_Key](FIRST_PERIOD_S, LONGEST_PERIOD_S, clock),
            Weight.CALLED_OFF: ReportedThrottle[_Key](LONGEST_PERIOD_S, LONGEST_PERIOD_S, clock),
        }
        self._timer: threading.Timer | None = None

    def failed(self, failure: Failure) -> None:
        """Report a failed handshake, now or as one of a number."""
        reason = reason_of(failure.why)
        key = _source(failure.address), reason.kind
        text = f"{_VERBS[reason.weight]} {failure.address or 'a client'}: {reason.text}"
        _log.debug("handshake with %s: %s", failure.address, failure.why)
        if reason.weight is Weight.CALLED_OFF and failure.address.startswith(_OWN):
            return
        with self._lock:
            is_new = self._throttles[reason.weight].admits(key, text)
            self._set_timer()
        if is_new:
            self._tell(failure.address, reason, text)

    def close(self) -> None:
        """Report what was left out."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
        self._tell_left_out(everything=True)

    def _tell(self, address: str, reason: Reason, text: str) -> None:
        _log.log(_LEVELS[reason.weight], "%s", text)
        if reason.weight is Weight.ATTEMPT:
            self._note("handshake refused", address=address, reason=reason.kind)

    def _set_timer(self) -> None:
        waits = [throttle.due_in_s() for throttle in self._throttles.values()]
        due = min((wait for wait in waits if wait is not None), default=None)
        if self._timer is None and due is not None:
            self._timer = threading.Timer(due, self._ring)
            self._timer.daemon = True
            self._timer.start()

    def _ring(self) -> None:
        self._tell_left_out()
        with self._lock:
            if self._timer is not None:
                self._timer = None
                self._set_timer()

    def _tell_left_out(self, *, everything: bool = False) -> None:
        with self._lock:
            left_out = [
                (weight, *each)
                for weight, throttle in self._throttles.items()
                for each in throttle.overdue(everything=everything)
            ]
        for weight, count, text in left_out:
            more = f" ({count} more like this since the last line)" if count > 1 else ""
            _log.log(_LEVELS[weight], "%s%s", text, more)
            if weight is Weight.ATTEMPT:
                self._note("handshakes refused", count=count, last=text)


def _source(address: str) -> str:
    """Return who counts as one sender: an IPv4 address, or an IPv6 network of one site."""
    try:
        host, _ = split_host_port(address, 0)
    except InvalidArgumentError:
        return ""
    return network_of(host)
