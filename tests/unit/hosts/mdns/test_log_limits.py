import logging

import pytest

from fakes.clock import FakeClock
from usbshare.hosts.mdns.log_limits import Quiet, quieted

LIBRARY = logging.getLogger("zeroconf")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_flood_of_warnings_is_few_short_lines(caplog: pytest.LogCaptureFixture) -> None:
    with quieted():
        for number in range(1000):
            LIBRARY.warning("bad packet %d: %r", number, b"\x1b" * 9000)
    assert 0 < len(lines(caplog)) < 10
    assert all(len(line) < 300 and line.isprintable() for line in lines(caplog))


def test_tracebacks_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with quieted():
        LIBRARY.warning("failed", exc_info=ValueError("why"))
    assert lines(caplog) == ["mDNS: failed"]
    assert "why" not in caplog.text


def test_a_minute_later_lines_pass_again() -> None:
    clock = FakeClock()
    quiet = Quiet(clock)
    while quiet.filter(record("x")):
        pass
    clock.advance(60)
    assert quiet.filter(record("x"))


def test_the_log_limits_are_removed_afterwards() -> None:
    before = list(LIBRARY.filters)
    with quieted():
        assert before != LIBRARY.filters
    assert before == LIBRARY.filters


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("zeroconf", logging.WARNING, "", 0, message, (), None)
