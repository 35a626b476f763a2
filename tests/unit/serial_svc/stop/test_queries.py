"""What a program writes to a machine at rest and at work: the same lines are begun in both."""

from __future__ import annotations

import random

from usbshare.serial_svc.stop.queries import LONGEST_LINE_BYTES, Queries

PROGRAM = b"G1X1\n$I\n\n" + b"G" * 3 * LONGEST_LINE_BYTES + b"\nM5\r\n?"


def test_a_begun_line_whether_the_machine_works_or_not() -> None:
    for seed in range(200):
        chance, at_rest, at_work = random.Random(seed), Queries(), Queries()
        rest = PROGRAM
        while rest:
            size = chance.randint(1, 40)
            chunk, rest = rest[:size], rest[size:]
            at_rest.wrote(chunk, may_ask=True)
            at_work.works_on(chunk)
            assert at_work.begun_line == at_rest.begun_line, f"seed {seed}"


def test_a_line_begun_during_work_is_no_query_afterwards() -> None:
    queries = Queries()
    queries.works()
    queries.works_on(b"G1X1\n$I")
    queries.rests()
    queries.wrote(b"\nG1X2\n", may_ask=True)
    assert queries.is_work
