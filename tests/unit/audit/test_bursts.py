"""A burst: what was sent in one go, counted and hashed without being kept."""

from __future__ import annotations

import hashlib
import random

from usbshare.audit.bursts import (
    LONGEST_S,
    MOST_CONTENTS_BYTES,
    QUIET_S,
    Burst,
)

JOB = b"".join(b"G1X%dY%d.5F1000\n" % (n, n * 7 % 13) for n in range(200)) + b"M5\n"


def sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def burst_of(*chunks: bytes, keeps_contents: bool = False) -> Burst:
    burst = Burst(keeps_contents=keeps_contents)
    for chunk in chunks:
        burst.add(chunk, 10.0)
    return burst


def test_a_job_is_reported_by_its_size_and_by_its_first_and_last_line() -> None:
    fields = burst_of(*JOB.splitlines(keepends=True)).fields()
    assert (fields["commands"], fields["bytes"], fields["lines"]) == (201, len(JOB), 201)
    assert fields["first_sha256"] == sha256(b"G1X0Y0.5F1000")
    assert fields["last_sha256"] == sha256(b"M5")
    assert fields["contents"] is None


def test_a_burst_is_the_same_for_any_split_of_the_job() -> None:
    whole = burst_of(JOB).fields()
    for seed in range(200):
        chance, chunks, rest = random.Random(seed), [], JOB
        while rest:
            size = chance.randint(1, 60)
            chunks.append(rest[:size])
            rest = rest[size:]
        fields = burst_of(*chunks).fields()
        assert fields == {**whole, "commands": len(chunks)}, f"seed {seed}"


def test_other_line_ends_and_blank_lines_do_not_matter() -> None:
    for end in (b"\r\n", b"\r", b"\n\n"):
        fields = burst_of(b"\n", b"G0", b"X1" + end, b"M3" + end, b"M5" + end, b"\n").fields()
        assert (fields["first_sha256"], fields["last_sha256"]) == (sha256(b"G0X1"), sha256(b"M5"))


def test_blank_lines_hide_no_line_however_many_come_at_once() -> None:
    blank = b"\r\n" * 5000
    for chunks in ([blank, b"G0\nM5\n", blank], [blank + b"G0\nM5\n" + blank], [b"G0\nM5" + blank]):
        fields = burst_of(*chunks).fields()
        assert (fields["first_sha256"], fields["last_sha256"]) == (sha256(b"G0"), sha256(b"M5"))
        assert fields["lines"] == b"".join(chunks).count(b"\n")


def test_a_line_that_is_not_ended_is_a_line() -> None:
    fields = burst_of(b"G0X1\n", b"M", b"5").fields()
    assert (fields["lines"], fields["last_sha256"]) == (2, sha256(b"M5"))


def test_bytes_without_any_line_are_not_kept() -> None:
    burst = burst_of(*[bytes(range(128, 256)) * 32] * 100)
    assert burst.fields()["bytes"] == 409_600
    assert sum(len(value) for value in vars_of(burst) if isinstance(value, bytes)) < 20_000


def vars_of(burst: Burst) -> list[object]:
    return list(vars(burst).values())


def test_a_burst_ends_after_a_quiet_time() -> None:
    burst = burst_of(b"G0\n")
    assert not burst.is_over(10.0 + QUIET_S - 0.1)
    assert burst.is_over(10.0 + QUIET_S)


def test_a_long_job_is_reported_meanwhile() -> None:
    burst = burst_of(b"G0\n")
    assert not burst.is_long()
    burst.add(b"G0\n", 10.0 + LONGEST_S)
    assert burst.is_long()


def test_contents_are_kept_if_requested_and_written_before_they_grow_large() -> None:
    burst = burst_of(b"G0X1\nG0", b"X2\xff\n", keeps_contents=True)
    assert burst.fields()["contents"] == ["G0X1", "G0X2\xff"]
    assert not burst.is_long()
    burst.add(b"x" * MOST_CONTENTS_BYTES, 10.0)
    assert burst.is_long()
