"""Files of anything: an analysis ends with findings or with one line, and never otherwise."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.gcode_lines import lines
from usbshare.analysis.analyse import analyse
from usbshare.analysis.capture import Capture
from usbshare.analysis.preamble import preamble
from usbshare.analysis.preview import png, write_json
from usbshare.analysis.records import Analysis, MachineFacts
from usbshare.analysis.tool_path import tool_path
from usbshare.base.errors import InvalidArgumentError

SETTINGS = [11, 12, 20, 22, 30, 32, 110, 120, 130, 131, 132]
numbers = st.one_of(
    st.integers(-(10**9), 10**9).map(str),
    st.sampled_from(["0", "-0", "1e5", ".", "1.2.3", "9" * 60, "0." + "0" * 40 + "1", "nan"]),
)
odd_lines = st.one_of(
    lines,
    st.builds("{}{}".format, st.sampled_from("GMXYZIJKRSFNPLTEQ$%/"), numbers),
    st.builds("G{} X{} Y{} I{} J{} F100".format, st.sampled_from([1, 2, 3]), *[numbers] * 4),
    st.builds("${}={}".format, st.sampled_from([11, 12, 25, 100, 110, 120, 122, 130, 30]), numbers),
    st.builds("G4 P{}".format, numbers),
    st.text(max_size=100),
)
contents = st.one_of(
    st.binary(max_size=300),
    st.lists(odd_lines, max_size=12).map(lambda found: "\n".join(found).encode()),
)
machines = st.one_of(
    st.none(),
    st.builds(
        MachineFacts,
        st.dictionaries(
            st.sampled_from([11, 12, 20, 22, 30, 32, 110, 120, 130, 131, 132]), st.floats(0, 1e6)
        ),
        st.one_of(st.none(), st.tuples(*[st.floats(-1e4, 1e4)] * 3)),
    ),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "any.nc"


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(contents, machines, st.sampled_from([0.0, 96.0, 11520.0]), st.integers(1, 14))
def test_any_file_is_analysed_or_refused(
    file: Path, content: bytes, machine: MachineFacts | None, rate: float, line: int
) -> None:
    file.write_bytes(content)
    try:
        found = analyse(file, machine=machine, line_bytes_per_s=rate)
    except InvalidArgumentError:
        return
    assert Analysis.from_json(json.loads(json.dumps(found.as_json(), allow_nan=False))) == found
    path = tool_path(file, machine)
    output = io.StringIO()
    write_json(path, output)
    json.loads(output.getvalue())
    assert png(path, width_px=64)
    with suppress(InvalidArgumentError):
        preamble(file, line)


@settings(deadline=None)
@given(st.lists(contents, max_size=5))
def test_a_capture_takes_any_bytes(pieces: list[bytes]) -> None:
    captured = io.BytesIO()
    capture = Capture(captured)
    capture.connect()
    for piece in pieces:
        capture.feed(piece)
    assert len(captured.getvalue()) == capture.size_bytes
