"""What is sent of a file: its lines over its passes, and never a beam that is left on."""

from __future__ import annotations

from pathlib import Path

import pytest

from usbshare.job_svc.run.program import Program


async def sent(path: Path, content: bytes, **how: object) -> list[bytes]:
    file = path / "x.nc"
    file.write_bytes(content)
    program = Program(file, **how)  # type: ignore[arg-type]
    return [step.code async for group in program.steps() for step in group]


@pytest.mark.parametrize(
    "content",
    [
        b"M3 S500\nG1 X1 F100\n",
        b"G1 X1 F100 M4 S9\n",
        b"m 03\nX1\n",
        b"M5\nM3.0\nX1\n",
        b"M+4\nX1\n",
        b"M3\nM117 M5 done\n",
        b"M3\nX1 (M5)\n",
        b"M3\nM2\n",
        b"M3\nM50\nM15\n",
    ],
)
async def test_a_beam_that_a_program_leaves_on_is_turned_off(
    tmp_path: Path, content: bytes
) -> None:
    lines = await sent(tmp_path, content, passes=2)
    assert lines[-1] == b"M5"
    assert len(lines) == 2 * content.count(b"\n") + 1


@pytest.mark.parametrize(
    "content", [b"G1 X1 F9\n", b"M3\nX1\nM5\n", b"M4\nG1 X1 F9 M05\n", b"M3\n$SLP\n", b"M30\n"]
)
async def test_a_program_that_turns_it_off_is_sent_as_it_is(tmp_path: Path, content: bytes) -> None:
    assert await sent(tmp_path, content) == content.splitlines()


async def test_the_preamble_is_sent_before_the_first_line(tmp_path: Path) -> None:
    lines = await sent(tmp_path, b"M3\nX1\nX2\n", first_line=3, before=(b"M5 M9", b"M3 S50"))
    assert lines == [b"M5 M9", b"M3 S50", b"X2", b"M5"]
