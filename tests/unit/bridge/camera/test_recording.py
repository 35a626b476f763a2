"""Recordings, time lapses: what a player reads back, and what happens when the disk does not."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from fakes.clock import FakeClock
from fakes.waiting import until
from usbshare.base.errors import ConfigError
from usbshare.bridge.camera import recording
from usbshare.bridge.camera.output import OutputError
from usbshare.bridge.camera.recording import Recording
from usbshare.bridge.camera.timelapse import Timelapse, file_name
from usbshare.bridge.camera.video_file import MatroskaFile, MjpegFile, create, require_known_ending
from usbshare.client.camera.messages import Frame
from usbshare.client.camera.view import Newest, Picture

cv2 = pytest.importorskip("cv2")


class CountingNewest(Newest):
    """Counts how often somebody looked."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def after(self, number: int) -> Picture:
        self.looks += 1
        return await super().after(number)


def jpeg(red: int, size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (red, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def frame(
    sequence: int, at_s: float = 0.0, data: bytes = b"", *, is_placeholder: bool = False
) -> Frame:
    data = data or jpeg(sequence * 10 % 256)
    return Frame(
        sequence=sequence,
        captured_s=1_700_000_000 + at_s,
        captured_monotonic_ns=round(at_s * 1e9),
        width=64,
        height=48,
        data=data,
        is_placeholder=is_placeholder,
    )


def _on_a_full_disk(path: Path) -> MjpegFile:
    return MjpegFile(Path("/dev/full").open("wb"))


def _has(output: Recording | Timelapse, pictures: int) -> bool:
    return output.pictures == pictures


def played(path: Path) -> list[tuple[int, int]]:
    """Return red and time in ms of each picture of a video."""
    video = cv2.VideoCapture(str(path))
    found: list[tuple[int, int]] = []
    try:
        while True:
            at_ms = video.get(cv2.CAP_PROP_POS_MSEC)
            has_more, pixels = video.read()
            if not has_more:
                return found
            found.append((int(pixels[0, 0, 2]), round(video.get(cv2.CAP_PROP_POS_MSEC) or at_ms)))
    finally:
        video.release()


async def record(path: Path, frames: list[Frame]) -> Recording:
    """Record these pictures, one after the other."""
    newest, made = Newest(), Recording(path)
    running = asyncio.create_task(made.run(newest))
    good = 0
    for each in frames:
        newest.put(each, each.captured_s)
        good += not each.is_placeholder
        await until(partial(_has, made, good))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return made


async def test_a_player_reads_pictures_and_times(tmp_path: Path) -> None:
    path = tmp_path / "job.mkv"
    times = [0.0, 0.033, 0.5, 2.0]
    await record(path, [frame(n, at_s) for n, at_s in enumerate(times, 1)])
    pictures = played(path)
    assert [at_ms for _, at_ms in pictures] == [0, 33, 500, 2000]
    assert [red for red, _ in pictures] == pytest.approx([10, 20, 30, 40], abs=3)
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FRAME_WIDTH) == 64
    video.release()


async def test_a_recording_that_was_cut_short_is_played_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "job.mkv"
    await record(path, [frame(n, n / 10) for n in range(1, 11)])
    path.write_bytes(path.read_bytes()[:-300])
    assert len(played(path)) == 9


async def test_pictures_are_recorded_as_they_came(tmp_path: Path) -> None:
    path = tmp_path / "job.mjpeg"
    frames = [frame(n) for n in range(1, 6)]
    await record(path, frames)
    assert path.read_bytes() == b"".join(each.data for each in frames)


async def test_a_placeholder_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "job.mjpeg"
    first, last = frame(1), frame(3)
    await record(path, [first, frame(2, is_placeholder=True), last])
    assert path.read_bytes() == first.data + last.data


def test_a_host_that_restarts_its_count_leaves_no_jump(tmp_path: Path) -> None:
    path = tmp_path / "job.mkv"
    with path.open("xb") as file:
        video = MatroskaFile(file)
        for at_s, arrived_at in ((1000.0, 50.0), (1000.1, 50.1), (0.2, 51.1), (0.3, 51.2)):
            video.write(frame(1, at_s), arrived_at)
        video.close()
    assert [at_ms for _, at_ms in played(path)] == [0, 100, 1100, 1200]


async def test_an_old_recording_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "job.mkv"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="already exists"):
        await Recording(path).run(Newest())
    assert path.read_bytes() == b"precious"


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot record .*nowhere.*No such file"):
        await Recording(tmp_path / "nowhere" / "job.mkv").run(Newest())


async def test_a_disk_that_is_full_ends_the_recording_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "create", _on_a_full_disk)
    newest = Newest()
    newest.put(frame(1, data=bytes(100_000)), 0.0)
    with pytest.raises(OutputError, match=r"cannot record .*job\.mjpeg: No space left"):
        await Recording(tmp_path / "job.mjpeg").run(newest)


def test_an_unsupported_extension_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"\.mkv, \.mjpeg"):
        require_known_ending(Path("job.gif"))
    require_known_ending(Path("JOB.MKV"))


def test_an_empty_recording_is_a_file(tmp_path: Path) -> None:
    create(tmp_path / "job.mkv").close()
    assert (tmp_path / "job.mkv").exists()


async def test_a_time_lapse_keeps_a_picture_each_interval(tmp_path: Path) -> None:
    newest, lapse = Newest(), Timelapse(tmp_path / "new" / "lapse", 0.01, FakeClock())
    running = asyncio.create_task(lapse.run(newest))
    frames = [frame(n, n * 60.5) for n in range(1, 4)]
    for number, each in enumerate(frames, 1):
        newest.put(each, 0.0)
        await until(partial(_has, lapse, number))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    kept = sorted((tmp_path / "new" / "lapse").iterdir())
    assert [path.name for path in kept] == [file_name(each) for each in frames]
    assert [path.read_bytes() for path in kept] == [each.data for each in frames]


async def test_a_time_lapse_keeps_no_picture_twice_and_no_placeholder(tmp_path: Path) -> None:
    newest, lapse = CountingNewest(), Timelapse(tmp_path, 0.001, FakeClock())
    running = asyncio.create_task(lapse.run(newest))
    newest.put(frame(1), 0.0)
    await until(lambda: lapse.pictures == 1)
    newest.put(frame(2, is_placeholder=True), 0.0)
    looks = newest.looks
    await until(lambda: newest.looks >= looks + 3)
    assert lapse.pictures == 1
    newest.put(frame(3, 1.0), 0.0)
    await until(lambda: lapse.pictures == 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_time_lapse_continues_when_the_disk_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "lapse"
    newest, lapse = Newest(), Timelapse(folder, 0.001, FakeClock())
    running = asyncio.create_task(lapse.run(newest))
    await until(folder.exists)
    folder.rmdir()
    newest.put(frame(1), 0.0)
    await until(lambda: "cannot save" in caplog.text)
    folder.mkdir()
    await until(lambda: lapse.pictures == 1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert caplog.text.count("cannot save") == 1


def test_names_sort_by_time() -> None:
    names = [file_name(frame(1, at_s)) for at_s in (0.0, 0.001, 0.999, 1.0, 59.0, 3600.0)]
    assert names == sorted(set(names))
    assert names[0] == "20231114T221320.000Z.jpg"
