from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from usbshare.analysis.preview import png, write_json
from usbshare.analysis.records import MachineFacts
from usbshare.analysis.tool_path import tool_path
from usbshare.analysis.worker_process import preview_aside

BED = MachineFacts({30: 500.0, 130: 200.0, 131: 100.0, 132: 10.0})
SQUARE = "G0 X50 Y25\nM4 S500\nG1 X150 F6000\nS250\nY75\nM5\nG0 X0\n"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.nc"
    path.write_text(SQUARE)
    return path


def opened(picture: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    return image.convert("RGB")


def colors(image: Image.Image) -> set[tuple[int, ...]]:
    found = image.getcolors(1 << 24)
    assert found is not None
    return {color for _, color in found if isinstance(color, tuple)}


def is_burnt(color: tuple[int, ...]) -> bool:
    red, green, blue = color
    return red > 100 and red > green + 40 and red > blue + 40


def test_segments_have_their_place_their_power_and_their_line(job: Path) -> None:
    found = [tuple(round(value, 3) for value in each) for each in tool_path(job, BED).segments()]
    assert found == [
        (0, 0, 50, 25, 0, 1),
        (50, 25, 150, 25, 1, 3),
        (150, 25, 150, 75, 0.5, 5),
        (150, 75, 0, 75, 0, 7),
    ]


def test_segments_are_in_work_coordinates(job: Path) -> None:
    machine = MachineFacts(BED.settings, work_offset=(-190.0, -90.0, 0.0))
    path = tool_path(job, machine)
    assert next(path.segments())[2:4] == (50, 25)
    assert path.travel is not None
    assert path.travel.low[:2] == (-10, -10)


def test_the_json_is_what_the_proto_says(job: Path) -> None:
    file = io.StringIO()
    write_json(tool_path(job, BED), file)
    found = json.loads(file.getvalue())
    assert found["box"] == [0, 25, 150, 75]
    assert found["segments"][1] == [50, 25, 150, 25, 1, 3]
    assert not found["is_cut"]


@pytest.mark.parametrize("width_px", [64, 333, 1024, 2049, 4096])
def test_a_picture_is_as_wide_as_asked_for_and_as_high_as_the_bed(job: Path, width_px: int) -> None:
    image = opened(png(tool_path(job, BED), width_px=width_px))
    assert image.width == width_px
    assert 0.4 < image.height / image.width < 0.7


def darkest(image: Image.Image) -> int:
    return min(sum(color) for color in colors(image) if is_burnt(color))


def test_more_power_is_darker(job: Path) -> None:
    image = opened(png(tool_path(job, BED), width_px=1000))
    strong = image.crop((0, image.height // 2, image.width, image.height))
    weak = image.crop((0, 0, image.width, image.height // 2))
    assert darkest(strong) < darkest(weak) - 80


def test_finished_lines_are_drawn_as_done(job: Path) -> None:
    picture = png(tool_path(job, BED), width_px=500, from_line=8)
    assert not any(is_burnt(color) for color in colors(opened(picture)))


@pytest.mark.parametrize("text", ["G0 X0.01\n", "G0 X1000\n", "G0 Y9000\n", "G21\nM5\n"])
def test_odd_shapes_have_a_picture_too(job: Path, text: str) -> None:
    job.write_text(text)
    image = opened(png(tool_path(job), width_px=400))
    assert 100 < image.height <= 600


async def test_a_worker_draws_and_writes(job: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    drawn = await preview_aside(job, output, machine=BED, width_px=300, title="job.nc")
    assert drawn.segments == 4
    assert opened(output.read_bytes()).width == 300
    await preview_aside(job, output, as_json=True)
    assert len(json.loads(output.read_text())["segments"]) == 4
    with pytest.raises(OSError, match=r"No such file.*none/out"):
        await preview_aside(job, tmp_path / "none" / "out")
