"""The camera service's configuration: every mistake at once, by key and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from usbshare.base.config import load_config
from usbshare.base.errors import ConfigError
from usbshare.camera_svc.capture.frame_source import ControlChange, PixelFormat, Wish
from usbshare.camera_svc.settings import CameraTable, Settings


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "usbshare.toml"
    path.write_text(text)
    return load_config(path, Settings)


def test_without_a_file_there_are_defaults() -> None:
    settings = load_config(None, Settings)
    assert settings.camera.listen == "[::]:50052"
    assert settings.cameras == {}


def test_a_camera_is_what_its_table_says(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        """
        [cameras.bed]
        source = "/dev/v4l/by-id/usb-cam-video-index0"
        name = "over the bed"
        width = 1920
        height = 1080
        fps = 15
        format = "mjpeg"
        always_on = true
        linger_s = 60
        [cameras.bed.controls]
        exposure = 250
        white_balance = "auto"
        """,
    )
    table = settings.cameras["bed"]
    config = table.config("bed")
    assert (config.id, config.name, config.source) == ("bed", "over the bed", table.source)
    assert (config.always_on, config.linger_s) == (True, 60)
    assert config.locks == (
        ControlChange("exposure", value=250, automatic=False),
        ControlChange("white_balance", automatic=True),
    )
    assert table.wish() == Wish(1920, 1080, 15, PixelFormat.MJPEG)


def test_a_camera_needs_no_more_than_a_source() -> None:
    table = CameraTable(source="sim://bed")
    assert table.config("bed").name == "bed"
    assert table.wish() == Wish()


def test_other_services_tables_are_passed_over(tmp_path: Path) -> None:
    assert loaded(tmp_path, "[service]\nwhatever = 1\n[ports.x]\ny = 2\n") == Settings()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[cameras.bed]\n", "cameras.bed.source: missing, and required"),
        ('[cameras.bed]\nsource = "sim://lathe"\n', "the only simulated camera is sim://bed"),
        ('[cameras.bed]\nsource = ""\n', "a source must be a device, a file or a URL"),
        ('[cameras.Bed]\nsource = "sim://bed"\n', "camera id 'Bed' may contain only a-z"),
        ('[cameras.bed]\nsource = "sim://bed"\nfps = 500\n', "cameras.bed.fps: 500"),
        ('[cameras.bed]\nsource = "sim://bed"\nspeed = 1\n', "cameras.bed.speed: no such key"),
        ('[camera]\nlisten = "a b"\n', "camera.listen"),
        (
            '[cameras.bed]\nsource = "sim://bed"\n[cameras.bed.controls]\nzoom = 1\n',
            "accepted: exposure, focus, gain, white_balance",
        ),
        (
            '[cameras.bed]\nsource = "sim://bed"\n[cameras.bed.controls]\nfocus = "near"\n',
            "cameras.bed.controls.focus",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert complaint in str(caught.value)
