"""Nothing can be done to a log that verify does not find."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.audit import written_log
from usbshare.audit.chain import Tip, check, link
from usbshare.audit.files import OpenFile, Snapshot, snapshot
from usbshare.audit.verification import Verdict, verify_log

EDITS = 1000
Contents = dict[Path, bytes]
Tamper = Callable[[random.Random, Contents], None]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contents, Snapshot]:
    """A log of 60 lines in several files."""
    files = written_log(tmp_path_factory.mktemp("audit"), 60, max_bytes=4096)
    with snapshot(files) as held:
        contents = {file.path: b"".join(file.lines()) for file in held.files}
        assert len(contents) > 2
        return contents, held


def verdict_on(contents: Contents, log: Snapshot, *anchors: Tip) -> Verdict:
    files = tuple(
        OpenFile(path, io.BytesIO(content), len(content)) for path, content in contents.items()
    )
    return verify_log(Snapshot(files, log.head), anchors)


def change_a_byte(chance: random.Random, contents: Contents) -> None:
    path, content = some_file(chance, contents)
    at = chance.randrange(len(content))
    contents[path] = content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]


def take_bytes_out(chance: random.Random, contents: Contents) -> None:
    path, content = some_file(chance, contents)
    at = chance.randrange(len(content))
    contents[path] = content[:at] + content[at + chance.randint(1, 400) :]


def put_bytes_in(chance: random.Random, contents: Contents) -> None:
    path, content = some_file(chance, contents)
    at = chance.randrange(len(content) + 1)
    contents[path] = content[:at] + chance.randbytes(chance.randint(1, 40)) + content[at:]


def truncate(chance: random.Random, contents: Contents) -> None:
    path, content = some_file(chance, contents)
    contents[path] = content[: chance.randrange(len(content))]


def cut_the_beginning(chance: random.Random, contents: Contents) -> None:
    path, content = some_file(chance, contents)
    contents[path] = content[chance.randint(1, len(content)) :]


def cut_the_end_at_a_line(chance: random.Random, contents: Contents) -> None:
    path = list(contents)[-1]
    lines = contents[path].splitlines(keepends=True)
    contents[path] = b"".join(lines[: -chance.randint(1, len(lines))])


def swap_lines(chance: random.Random, contents: Contents) -> None:
    lines = all_lines(contents)
    one, other = chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    put_back(contents, lines)


def delete_lines(chance: random.Random, contents: Contents) -> None:
    lines = all_lines(contents)
    at = chance.randrange(len(lines))
    lines[at : at + chance.randint(1, 5)] = []
    put_back(contents, lines)


def repeat_a_line(chance: random.Random, contents: Contents) -> None:
    lines = all_lines(contents)
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
    put_back(contents, lines)


def forge_a_line(chance: random.Random, contents: Contents) -> None:
    """Replace a line by one that is right in itself and follows the one before."""
    lines = all_lines(contents)
    at = chance.randrange(1, len(lines))
    lines[at] = link(check(lines[at - 1])[1], {"event": "nothing", "n": chance.random()})[0]
    put_back(contents, lines)


def forge_the_rest(chance: random.Random, contents: Contents) -> None:
    """Write everything from some line on anew; the head and every anchor know better."""
    lines = all_lines(contents)
    at = chance.randrange(1, len(lines))
    tip = check(lines[at - 1])[1]
    for number in range(at, len(lines)):
        lines[number], tip = link(tip, {"event": "nothing", "n": chance.random()})
    put_back(contents, lines)


def lose_a_file(chance: random.Random, contents: Contents) -> None:
    del contents[chance.choice(list(contents))]


def swap_files(chance: random.Random, contents: Contents) -> None:
    one, other = chance.sample(list(contents), 2)
    contents[one], contents[other] = contents[other], contents[one]


TAMPERS: list[Tamper] = [
    change_a_byte,
    take_bytes_out,
    put_bytes_in,
    truncate,
    cut_the_beginning,
    cut_the_end_at_a_line,
    swap_lines,
    delete_lines,
    repeat_a_line,
    forge_a_line,
    forge_the_rest,
    lose_a_file,
    swap_files,
]


def some_file(chance: random.Random, contents: Contents) -> tuple[Path, bytes]:
    return chance.choice(list(contents.items()))


def all_lines(contents: Contents) -> list[bytes]:
    return b"".join(contents.values()).splitlines(keepends=True)


def put_back(contents: Contents, lines: list[bytes]) -> None:
    """Spread the lines over the files as they were, as far as they go."""
    for path in list(contents):
        count = contents[path].count(b"\n") if path is not list(contents)[-1] else len(lines)
        contents[path], lines = b"".join(lines[:count]), lines[count:]


def test_an_untouched_log_is_whole(log: tuple[Contents, Snapshot]) -> None:
    contents, held = log
    verdict = verdict_on(contents, held)
    assert (verdict.lines, verdict.first, verdict.tip.seq) == (60, 1, 60)
    assert not verdict.faults
    assert not verdict.remarks


def test_a_thousand_random_edits_are_all_found(log: tuple[Contents, Snapshot]) -> None:
    original, held = log
    made = dict.fromkeys(TAMPERS, 0)
    for seed in range(EDITS):
        chance = random.Random(seed)
        tamper = TAMPERS[seed % len(TAMPERS)]
        contents = dict(original)
        while b"".join(contents.values()) == b"".join(original.values()):
            tamper(chance, contents)
        assert verdict_on(contents, held).faults, f"{tamper.__name__} with seed {seed} went unseen"
        made[tamper] += 1
    assert min(made.values()) >= EDITS // len(TAMPERS)


def test_a_fault_names_file_and_line(log: tuple[Contents, Snapshot]) -> None:
    contents, held = dict(log[0]), log[1]
    path = list(contents)[1]
    contents[path] = contents[path].replace(b"sent", b"seen", 1)
    assert verdict_on(contents, held).faults == [
        f"{path.name} line 1: it was changed: its hash does not match"
    ]


def test_a_log_rewritten_from_its_first_line_is_detected_by_an_anchor(tmp_path: Path) -> None:
    files = written_log(tmp_path, 10)
    anchor = check(files.current.read_bytes().splitlines(keepends=True)[4])[1]
    with snapshot(files) as held:
        assert not verify_log(held, (anchor,)).faults
    for path in (files.current, files.head):
        path.unlink()
    with snapshot(written_log(tmp_path, 20)) as held:
        assert not verify_log(held).faults  # what the chain alone cannot know
        assert "a different hash" in verify_log(held, (Tip(5, "0" * 64),)).faults[0]
    for path in (files.current, files.head):
        path.unlink()
    with snapshot(written_log(tmp_path, 3)) as held:
        assert "of the anchor is missing" in verify_log(held, (anchor,)).faults[0]


def test_an_incomplete_last_line_is_reported_and_is_no_fault(tmp_path: Path) -> None:
    files = written_log(tmp_path, 5)
    line, _ = link(
        check(files.current.read_bytes().splitlines(keepends=True)[-1])[1], {"event": "x"}
    )
    with files.current.open("ab") as file:
        file.write(line[:-20])
    with snapshot(files) as held:
        verdict = verify_log(held)
    assert not verdict.faults
    assert "serial-svc.jsonl line 6: incomplete" in verdict.remarks[0]


def test_a_lost_head_is_a_fault(tmp_path: Path) -> None:
    files = written_log(tmp_path, 5)
    files.head.unlink()
    with snapshot(files) as held:
        assert "head file is missing" in verify_log(held).faults[0]
