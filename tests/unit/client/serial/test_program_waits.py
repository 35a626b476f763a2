"""How long a program's bytes wait in the client."""

from __future__ import annotations

from usbshare.client.serial.link_times import LinkTimes
from usbshare.client.serial.program_waits import ProgramWaits
from usbshare.client.serial.upstream import Upstream
from usbshare.line.credit import Credit
from usbshare.line.profiles import GRBL


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_message_counts_as_its_oldest_byte() -> None:
    clock = Clock()
    waits = ProgramWaits(clock)
    waits.came(4)
    clock.now += 1
    waits.came(4)
    clock.now += 1
    waits.left(6, clock.now)
    assert (waits.stats.count, waits.stats.last_s) == (1, 2.0)
    waits.left(2, clock.now)
    assert (waits.stats.count, waits.stats.last_s) == (2, 1.0)


def test_bytes_dropped_or_sent_again_are_not_counted() -> None:
    clock = Clock()
    waits = ProgramWaits(clock)
    waits.came(4)
    waits.clear()
    clock.now += 60
    waits.left(4, clock.now)
    assert waits.stats.count == 0


def upstream(clock: Clock) -> Upstream:
    made = Upstream(clock)
    made.begin(epoch=1, profile=GRBL)
    return made


def test_bytes_that_wait_for_credit_are_measured() -> None:
    clock = Clock()
    made = upstream(clock)
    made.add_program(b"G1 X1\n")
    clock.now += 0.5
    made.credit(Credit(1000, 100, 0))
    assert made.wait_s(clock.now) == 0
    made.take(clock.now)
    assert made.waited.last_s == 0.5


def test_bytes_that_pass_through_waited_for_nothing() -> None:
    clock = Clock()
    made = upstream(clock)
    made.credit(Credit(1000, 100, 0))
    assert made.pass_through(b"G1 X1\n", clock.now) is not None
    assert (made.waited.count, made.waited.last_s) == (1, 0.0)


def test_bytes_that_a_stop_voids_are_not_measured() -> None:
    clock = Clock()
    made = upstream(clock)
    made.add_program(b"G1 X1\n")
    made.port_changed(epoch=2, profile=GRBL)
    clock.now += 60
    made.add_program(b"G1 X2\n")
    made.credit(Credit(1000, 100, 0))
    made.take(clock.now)
    assert made.waited.max_s < 60


def test_the_network_is_the_round_trip_without_the_host() -> None:
    clock = Clock()
    times = LinkTimes(upstream(clock).waited, clock)
    times.answered(0.050, 0.020)
    times.answered(0.010, 0.020)  # the host's clock ticks otherwise
    assert (round(times.network.max_s, 6), times.network.min_s) == (0.03, 0.0)
    times.answered(0.010, None)  # an older service
    assert times.network.count == times.host.count == 2
    report = times.report()
    assert report.network is not None
    assert report.wake is report.queue is None
