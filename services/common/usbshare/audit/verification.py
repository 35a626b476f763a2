"""Whether a log is whole: every line unchanged, none missing, in order, both ends there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from usbshare.audit.chain import Fault, Tip, is_incomplete, verify
from usbshare.audit.files import OpenFile, Snapshot
from usbshare.audit.log_registry import Sighting

MOST_FAULTS = 100


@dataclass(slots=True)
class Verdict:
    """What was found: `faults` break the chain, `remarks` do not."""

    lines: int = 0
    first: int = 0
    tip: Tip = field(default_factory=Tip)
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def verify_log(
    log: Snapshot,
    anchors: tuple[Tip, ...] = (),
    sightings: Iterable[Sighting] = (),
    moved: Callable[[], None] = lambda: None,
) -> Verdict:
    """Look at every line; an anchor is a tip that was noted elsewhere, and must be in the log.

    `sightings` are what other logs say of this one: of what is kept, no less may be there.
    Calls `moved` for each line.
    """
    verdict = Verdict()
    seen = sorted(sightings, key=lambda each: each.tip.seq)
    known = {each.tip.seq: each.tip.hash for each in seen}
    known |= {anchor.seq: anchor.hash for anchor in anchors}
    if log.head is not None:
        known.setdefault(log.head.tip.seq, log.head.tip.hash)
    for found, place in _chain(log, verdict):
        moved()
        if isinstance(found, Fault):
            _blame(verdict, f"{place}: {found.why}")
            continue
        verdict.lines += 1
        verdict.first = verdict.first or found.seq
        verdict.tip = found
        if found.head_was_lost:
            _blame(
                verdict,
                f"{place}: the head file was missing at that time; earlier lines "
                "may have been cut off",
            )
        if known.get(found.seq, found.hash) != found.hash:
            _blame(verdict, f"{place}: the log was replaced: line {found.seq} had a different hash")
    _judge_ends(verdict, log)
    _judge_anchors(verdict, anchors)
    _judge_sightings(verdict, seen)
    return verdict


def _chain(log: Snapshot, verdict: Verdict) -> Iterator[tuple[Tip | Fault, str]]:
    """Yield what `verify` finds in all files as one, each with its place."""
    places: list[tuple[Path, int]] = []

    def lines() -> Iterator[bytes]:
        for file in log.files:
            for number, line in enumerate(file.lines(), 1):
                if is_incomplete(line) and file is log.files[-1]:
                    verdict.remarks.append(_incomplete(file, number, line))
                    return
                places.append((file.path, number))
                yield line
                places.clear()

    for found in verify(lines()):
        path, number = places[0]
        yield found, f"{path.name} line {number}"


def _incomplete(file: OpenFile, number: int, line: bytes) -> str:
    return (
        f"{file.path.name} line {number}: incomplete ({len(line)} bytes), as after a power cut "
        "or kill; the next write drops it"
    )


def _judge_ends(verdict: Verdict, log: Snapshot) -> None:
    head = log.head
    if head is None and not log.files:
        _blame(verdict, "the log and its head are both missing")
        return
    if head is None:
        _blame(verdict, "the head file is missing or unreadable: lines may have been cut off")
        return
    if verdict.lines == 0:
        missing = head.tip.seq
        if missing:
            _blame(verdict, f"all lines are missing, {head.first} to {missing}")
        return
    if verdict.first > head.first:
        _blame(verdict, f"lines {head.first} to {verdict.first - 1} are missing at the beginning")
    if head.tip.seq > verdict.tip.seq:
        first, last = verdict.tip.seq + 1, head.tip.seq
        _blame(verdict, f"lines {first} to {last} are missing at the end")


def _judge_anchors(verdict: Verdict, anchors: tuple[Tip, ...]) -> None:
    for anchor in anchors:
        if anchor.seq > verdict.tip.seq:
            _blame(
                verdict, f"line {anchor.seq} of the anchor is missing: the log was cut or replaced"
            )
        elif anchor.seq < verdict.first:
            _blame(verdict, f"line {anchor.seq} of the anchor is no longer kept: nothing is proven")


def _judge_sightings(verdict: Verdict, seen: list[Sighting]) -> None:
    if seen and (last := seen[-1]).tip.seq > verdict.tip.seq:
        what = f"according to {last.by}, it once had line {last.tip.seq}"
        _blame(verdict, f"{what}: the log was cut, replaced or started over")


def _blame(verdict: Verdict, why: str) -> None:
    if len(verdict.faults) < MOST_FAULTS:
        verdict.faults.append(why)
    elif len(verdict.faults) == MOST_FAULTS:
        verdict.faults.append("and more")
