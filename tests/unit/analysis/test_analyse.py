from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from usbshare.analysis.analyse import analyse
from usbshare.analysis.records import Analysis, Box, Finding, MachineFacts, Severity
from usbshare.base.errors import InvalidArgumentError

BED = {130: 300.0, 131: 200.0, 132: 50.0}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "job.nc"


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def texts(analysis: Analysis) -> list[tuple[int, str, str]]:
    return [(each.line, each.code, each.text) for each in analysis.findings]


def test_a_job_that_fits_has_a_time_boxes_and_no_findings(job: Path) -> None:
    written(job, "G90 G21", "G0 X10 Y20", "M4 S500", "G1 X110 F6000", "Y70", "M5", "G0 X0 Y0")
    found = analyse(job, machine=MachineFacts(BED))
    assert found.file.sha256 == hashlib.sha256(job.read_bytes()).digest()
    assert (found.file.lines, found.file.size_bytes) == (7, job.stat().st_size)
    assert found.box == Box((0.0, 0.0, 0.0), (110.0, 70.0, 0.0))
    assert found.burnt_box == Box((10.0, 20.0, 0.0), (110.0, 70.0, 0.0))
    assert found.travel == Box((0.0, 0.0, -50.0), (300.0, 200.0, 50.0))
    assert found.has_machine_settings
    assert 2.5 < found.duration_s < 4
    assert found.findings == ()


def test_without_a_machine_there_is_no_travel(job: Path) -> None:
    found = analyse(written(job, "G0 X9000"))
    assert found.travel is None
    assert not found.has_machine_settings
    assert found.findings == ()


def test_a_file_that_moves_nothing_has_no_box(job: Path) -> None:
    found = analyse(written(job, "G21", "M5"))
    assert (found.box, found.burnt_box, found.duration_s) == (None, None, 0.0)


def test_lines_that_the_firmware_rejects_carry_its_numbers(job: Path) -> None:
    found = analyse(written(job, "G1 X1", "", "G1 X1 E2 F100", "G1 X" + "1" * 80, "G0 X1"))
    assert texts(found) == [
        (1, "error:22", "no feed rate is set (F): G1 X1"),
        (3, "error:20", "GRBL has no such word: G1 X1 E2 F100"),
        (
            4,
            "error:11",
            "the line is longer than the 79 characters that GRBL accepts: G1 X" + "1" * 56,
        ),
    ]
    assert (found.finding_count, found.error_count) == (3, 3)


def test_a_hundred_findings_are_kept_and_all_are_counted(job: Path) -> None:
    found = analyse(written(job, "G0 X400", *["Q1"] * 450), machine=MachineFacts(BED))
    assert len(found.findings) == 100
    assert [each.line for each in found.findings] == [*range(1, 101)]
    assert (found.finding_count, found.error_count) == (451, 450)


@pytest.mark.parametrize(
    ("begin", "end", "lines"),
    [(b"", b"\n", 3), (b"\xef\xbb\xbf", b"\r\n", 3), (b"", b"\r", 3), (b"%\n", b"\n", 4)],
    ids=["LF", "CRLF with a mark", "CR", "percent sign"],
)
def test_every_kind_of_line_end_is_read(job: Path, begin: bytes, end: bytes, lines: int) -> None:
    comment = "G1 X5 (Größe) F600 ; ń".encode()
    job.write_bytes(begin + b"G21" + end + comment + end + b"G0 X0 ; " + "é".encode("latin-1"))
    found = analyse(job)
    assert found.file.lines == lines
    assert found.findings == ()
    assert found.box is not None
    assert found.box.high[0] == 5.0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"\n; only a comment\n", "the file contains no G-code"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "the file is not G-code"),
        (b"PK\x03\x04\x14", "the file is not G-code"),
        (b'{"a": 1}\n', "the file contains no G-code"),
        (b"<svg></svg>\n", "the file contains no G-code"),
        (b"hello = 1\nworld = 2\n", "the file contains no G-code"),
        (b"n1me = 1\nx = 2\n", "the file contains no G-code: line 1"),
        ("G0 X1\n".encode("utf-16"), "the file is not G-code"),
        (b"G0 X1\n\x00G0 X2\n", "byte 6 is 0x00"),
        (b"G0 X1 !\n", "line 1: '!' outside a comment"),
        (b"G0 X1" + b" " * 2000, "line 1 has more than 1024 bytes"),
    ],
)
def test_a_file_that_is_not_gcode_is_refused(job: Path, content: bytes, reason: str) -> None:
    job.write_bytes(content)
    with pytest.raises(InvalidArgumentError) as refused:
        analyse(job)
    assert reason in str(refused.value)


def test_a_file_beyond_the_limit_is_refused_unread(job: Path) -> None:
    with job.open("wb") as file:
        file.truncate(2_000_000_000)
    with pytest.raises(InvalidArgumentError, match="has 2000 MB; at most 1000 MB are accepted"):
        analyse(job)


def test_a_job_larger_than_the_bed_is_an_error_whatever_its_zero(job: Path) -> None:
    found = analyse(written(job, "G0 X0", "G0 X-150", "G0 X170"), machine=MachineFacts(BED))
    assert texts(found) == [(0, "", "the job spans 320.0 mm in X; the machine has 300.0 mm ($130)")]
    assert found.error_count == 1


def test_where_the_work_zero_is_unknown_leaving_the_bed_is_a_warning(job: Path) -> None:
    found = analyse(written(job, "G0 X0", "G0 Y-5", "G0 Y-7"), machine=MachineFacts(BED))
    assert [(each.line, each.severity) for each in found.findings] == [(2, Severity.WARNING)]
    assert "Y goes to -7.0 mm; the machine reaches 0.0 to 200.0 mm" in found.findings[0].text


def test_where_the_work_zero_is_known_leaving_the_travel_is_an_error(job: Path) -> None:
    machine = MachineFacts({**BED, 20: 1.0, 22: 1.0}, work_offset=(-290.0, -190.0, -1.0))
    found = analyse(written(job, "G0 X1", "G0 X280", "G0 X295", "G0 X299"), machine=machine)
    assert found.travel == Box((-10.0, -10.0, -49.0), (290.0, 190.0, 1.0))
    assert found.box == Box((1.0, 0.0, 0.0), (299.0, 0.0, 0.0))
    text = "from this line on X goes to 299.0 mm; the machine reaches -10.0 to 290.0 mm"
    assert found.findings == (Finding(3, Severity.ERROR, "ALARM:2", text),)


def test_a_line_that_cannot_feed_the_machine_is_named_and_counted_in(job: Path) -> None:
    dots = [f"G1 X{n * 0.1:.3f} S{n % 10}" for n in range(2000)]
    written(job, "G21", "M4", "G1 F12000", *dots, "M5")
    free = analyse(job)
    fed = analyse(job, line_bytes_per_s=1152.0)
    assert free.findings == ()
    assert free.peak_bytes_per_s > 5000
    (finding,) = fed.findings
    assert finding.line == 0
    assert finding.text.startswith("this job needs ")
    assert "this line carries 1.2" in finding.text
    assert fed.duration_s == pytest.approx(job.stat().st_size / 1152, rel=0.05)
    assert fed.peak_bytes_per_s == free.peak_bytes_per_s


def test_lines_that_wait_end_too_early_or_change_the_machine_are_reported(job: Path) -> None:
    written(job, "$110=500", "G0 X1", "M0", "M2", "G0 X2", "M30")
    found = analyse(job)
    assert [each.line for each in found.findings] == [1, 3, 4]
    assert found.error_count == 0


def test_a_job_that_puts_the_machine_to_sleep_ends_there(job: Path) -> None:
    found = analyse(written(job, "G4 P0.1", "$SLP", "G0 X1"))
    assert texts(found) == [(2, "", "the machine is asleep from here on and accepts only a reset")]


def test_modes_that_a_pass_leaves_are_reported_where_another_follows(job: Path) -> None:
    written(job, "G0 X5", "G92 X0", "G91")
    assert analyse(job).findings == ()
    assert len(analyse(job, passes=2).findings) == 2


def test_progress_is_reported_and_may_end_the_analysis(job: Path) -> None:
    written(job, *["G0 X1", "G0 X0"] * 2000)
    told: list[int] = []
    analyse(job, progress=told.append)
    assert told == [1000, 2000, 3000, 4000]


def test_an_analysis_goes_through_json_unchanged(job: Path) -> None:
    machine = MachineFacts(BED, work_offset=(-1.0, -2.0, -3.0))
    found = analyse(written(job, "G0 X1", "Q", "M4 S1", "G1 X2 F100"), machine=machine)
    assert Analysis.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_a_program_that_leaves_the_beam_on_is_told_of(job: Path) -> None:
    found = analyse(written(job, "M3 S500", "G1 X9 F900"))
    what = "the program ends with the beam or spindle on; a job turns it off after it (M5)"
    assert texts(found) == [(0, "", what)]
    assert analyse(written(job, "M3 S500", "G1 X9 F900", "M2")).findings == ()


def test_a_laser_program_for_a_machine_without_laser_mode_is_told_of(job: Path) -> None:
    written(job, "G1 F900", "M4 S0", "G1 X9 S500", "X10 S100", "M5")
    (found,) = analyse(job, machine=MachineFacts({32: 0.0})).findings
    assert (found.line, found.severity) == (3, Severity.WARNING)
    assert "laser mode is off ($32=0): the beam burns on rapid moves too" in found.text
    assert analyse(job, machine=MachineFacts({32: 1.0})).findings == ()
    assert analyse(job).findings == ()  # nothing is known of the machine
    milling = written(job, "M3 S9000", "G1 X9 F900", "G0 X0", "M5")
    assert analyse(milling, machine=MachineFacts({32: 0.0})).findings == ()
