"""`bridge camera --format h264` and camera-svc as real processes: the bed, decoded on the PC."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fakes.cameras import decoded
from fakes.processes import running
from usbshare.camera_svc.sim.bed import read_stamp

pytest.importorskip("av", reason="PyAV is not installed: pip install 'usbshare[h264]'")

DEADLINE_S = 60.0


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=DEADLINE_S) as reply:
        return bytes(reply.read())


def state(url: str) -> Any:
    return json.loads(get(url + "state"))


def test_the_stream_of_h264_is_shown_as_jpeg_here(tmp_path: Path) -> None:
    with running(["camera-svc", "--listen", "127.0.0.1:0"], tmp_path) as service:
        target = service.wait_for(r"ready at (127\.0\.0\.1:\d+)")[1]
        command = ["bridge", "camera", "--target", target, "--format", "h264"]
        with running([*command, "--http", "127.0.0.1:0"], tmp_path) as bridge:
            url = bridge.wait_for(r"ready: camera demo at (http://\S+/)")[1]
            _until_frames(url, 30)
            drawn, unix_ms = read_stamp(decoded(get(url + "snapshot.jpg")))
            assert drawn >= 30
            assert abs(time.time() * 1000 - unix_ms) < DEADLINE_S * 1000
            with urllib.request.urlopen(url + "stream", timeout=DEADLINE_S) as stream:
                first, second = _part(stream), _part(stream)
            assert read_stamp(decoded(first)) < read_stamp(decoded(second))
            assert state(url)["format"] == "h264"
            assert state(url)["drops"]["unusable"] == 0


def _until_frames(url: str, count: int) -> None:
    start = time.monotonic()
    while state(url)["frames"] < count:
        assert time.monotonic() - start < DEADLINE_S
        time.sleep(0.05)


def _part(stream: Any) -> bytes:
    length = 0
    while (line := stream.readline()) != b"\r\n" or not length:
        if match := re.match(rb"Content-Length: (\d+)", line):
            length = int(match[1])
    return bytes(stream.read(length))
