from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usbshare.line.settings import LineSettings
from usbshare.sim.grbl import GrblController
from usbshare.sim.uart import DRIVER_BUFFER_BYTES, REPLY_BUFFER_BYTES, Uart

BYTE_S = 10 / 115200


def greeted() -> Uart:
    uart = Uart(GrblController(), LineSettings())
    uart.run(0.0)
    assert uart.read(1.0)
    return uart


def run_out(uart: Uart, now_s: float, limit_s: float) -> bytes:
    """Live from event to event and return what arrived."""
    output = b""
    while True:
        due = [t for t in (uart.next_event_s(), uart.next_reply_s()) if t is not None]
        if not due or min(due) > limit_s:
            return output
        now_s = max(now_s, min(due))
        output += uart.read(now_s)


def test_bytes_leave_at_the_rate_of_the_line() -> None:
    uart = greeted()
    uart.write(b";" * 1000, 1.0)
    assert uart.unsent(1.0) == 1000
    assert uart.unsent(1.0 + 400 * BYTE_S) == pytest.approx(600, abs=4)
    assert uart.unsent(1.0 + 1000 * BYTE_S + 1e-9) == 0


def test_the_driver_takes_only_what_fits() -> None:
    uart = greeted()
    assert uart.write(b";" * 5000, 1.0) == DRIVER_BUFFER_BYTES
    assert uart.room == 0
    assert uart.write(b";", 1.0) == 0


def test_unsent_bytes_can_be_discarded() -> None:
    uart = greeted()
    uart.write(b"\n" * 1000, 1.0)
    uart.discard(1.0 + 100 * BYTE_S)
    assert uart.unsent(2.0) == 0
    assert run_out(uart, 2.0, 9.0).count(b"ok") == pytest.approx(100, abs=4)


def test_a_reply_arrives_when_its_last_byte_has_left() -> None:
    uart = greeted()
    uart.write(b"\n", 1.0)
    reply_s = 1.0 + BYTE_S + 4 * BYTE_S
    assert uart.read(reply_s - 1e-6) == b""
    assert uart.next_reply_s() == pytest.approx(reply_s)
    assert uart.read(reply_s + 1e-6) == b"ok\r\n"


def test_a_slower_line_takes_longer() -> None:
    uart = greeted()
    uart.configure(LineSettings(baud=9600), 1.0)
    uart.write(b";" * 96, 1.0)
    assert uart.unsent(1.05) == pytest.approx(48, abs=4)
    assert uart.unsent(1.1001) == 0


def test_an_idle_line_owes_no_time() -> None:
    uart = greeted()
    uart.run(5.0)
    uart.write(b";" * 100, 5.0)
    assert uart.unsent(5.0) == 100


def test_a_reader_that_never_reads_loses_replies_but_no_memory() -> None:
    uart = greeted()
    for n in range(200):
        uart.write(b"$$\n" * 10, 1.0 + n)
    assert 60_000 < len(uart.read(300.0)) <= REPLY_BUFFER_BYTES


def test_a_reset_reaches_the_controller() -> None:
    uart = greeted()
    uart.hard_reset(2.0)
    assert b"Grbl" in run_out(uart, 2.0, 3.0)


@settings(deadline=None)
@given(st.lists(st.floats(0, 0.5), max_size=20))
def test_looking_more_often_never_changes_what_arrives(looks: list[float]) -> None:
    program = b"M4\nG1X1S5F6000\nX2S6\nX3\n" * 20
    watched, alone = greeted(), greeted()
    watched.write(program, 1.0)
    alone.write(program, 1.0)
    early = b"".join(watched.read(1.0 + look) for look in sorted(looks))
    assert early + run_out(watched, 1.5, 60) == run_out(alone, 1.0, 60)
