"""`bridge camera` and camera-svc as real processes over mTLS, with the simulated bed."""

from __future__ import annotations

import io
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fakes.processes import Process, environment, run, running

DEADLINE_S = 60.0

Service = tuple[Process, str]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Run camera-svc; yields it and its target."""
    with running(["camera-svc", "--listen", "127.0.0.1:0"], tmp_path) as process:
        match = process.wait_for(r"ready at 127\.0\.0\.1:(\d+)")
        yield process, f"127.0.0.1:{match[1]}"


def camera(target: str, *arguments: str) -> list[str]:
    return ["bridge", "camera", "--target", target, *arguments]


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE_S) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def state(url: str) -> Any:
    return json.loads(get(url + "state")[1])


def until(holds: Callable[[], bool]) -> float:
    """Return how long it took until it held."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < DEADLINE_S
        time.sleep(0.02)
    return time.monotonic() - start


def test_one_picture_into_a_file(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "bed.jpg"
    command = camera(service[1], "--snapshot", str(path), "--width", "640", "--json")
    code, output = run(command, tmp_path)
    assert code == 0, output
    told = json.loads(output.splitlines()[-1])
    assert (told["event"], told["width"], told["data"]) == ("snapshot", 640, path.stat().st_size)
    with Image.open(path) as picture:
        assert picture.size == (640, 360)


def test_a_recording_is_whole_after_the_end(service: Service, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "job.mkv"
    with running(camera(service[1], "--record", str(path), "--stats"), tmp_path) as process:
        until(lambda: path.exists() and path.stat().st_size > 1_000_000)
        assert process.stop(signal.SIGINT) == 0
        assert "http" not in process.output.replace("http 0", "")
    video = cv2.VideoCapture(str(path))
    duration_s = video.get(cv2.CAP_PROP_FRAME_COUNT) / video.get(cv2.CAP_PROP_FPS)
    frames = 0
    while video.read()[0]:
        frames += 1
    video.release()
    assert frames >= 5
    assert duration_s > 0.1


def test_statistics_are_json_lines(service: Service, tmp_path: Path) -> None:
    command = camera(service[1], "--http", "127.0.0.1:0", "--stats", "--json", "--fps", "10")
    with running(command, tmp_path) as process:
        match = process.wait_for(r'"event": "stats".*"state": "live".*"frames": [1-9]')
        told = json.loads(match.string)
        assert set(told["drops"]) == {"window", "rate", "encoder", "late", "unusable", "http"}
        assert told["age_ms"]["min"] <= told["age_ms"]["avg"] <= told["age_ms"]["max"]


def test_a_host_that_freezes_is_reported_and_comes_back(service: Service, tmp_path: Path) -> None:
    host, target = service
    with running(camera(target, "--http", "127.0.0.1:0"), tmp_path) as process:
        url = process.wait_for(r"ready: camera demo at (http\S+)")[1]
        until(lambda: get(url + "snapshot.jpg")[0] == 200)
        host.process.send_signal(signal.SIGSTOP)
        try:
            took_s = until(lambda: get(url + "snapshot.jpg")[0] == 503)
            print(f"told of after {took_s:.2f} s")
            status, body = get(url + "snapshot.jpg")
            assert (status, Image.open(io.BytesIO(body)).size) == (503, (1280, 720))
        finally:
            host.process.send_signal(signal.SIGCONT)
        took_s = until(lambda: state(url)["state"] == "live")
        print(f"back after {took_s:.2f} s")
        assert get(url + "snapshot.jpg")[0] == 200


def test_a_service_that_is_killed_and_started_again(tmp_path: Path) -> None:
    with running(["camera-svc", "--listen", "127.0.0.1:0"], tmp_path) as first:
        port = first.wait_for(r"ready at 127\.0\.0\.1:(\d+)")[1]
        target = f"127.0.0.1:{port}"
        process = Process(camera(target, "--http", "127.0.0.1:0"), environment(tmp_path))
        url = process.wait_for(r"ready: camera demo at (http\S+)")[1]
        until(lambda: state(url)["state"] == "live")
        first.process.kill()
    try:
        process.wait_for("nothing listens at")
        assert state(url)["state"] == "lost"
        with running(["camera-svc", "--listen", target], tmp_path):
            until(lambda: state(url)["state"] == "live")
            assert state(url)["reconnections"] >= 1
    finally:
        process.stop()


def test_beyond_this_computer_a_token_is_made(service: Service, tmp_path: Path) -> None:
    with running(camera(service[1], "--http", "0.0.0.0:0"), tmp_path) as process:
        ready = process.wait_for(r"ready: .* at http://[^/]+:(\d+)/\?token=([\w-]{20,})")
        local = f"http://127.0.0.1:{ready[1]}/"
        assert get(local + "snapshot.jpg")[0] == 403
        assert get(f"{local}state?token={ready[2]}")[0] == 200


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--camera", "sofa"), 1, "sofa"),
        (("--record", "job.gif"), 2, "ends in one of .mkv"),
        (("--snapshot", "a.jpg", "--record", "b.mkv"), 2, "--snapshot"),
        (("--http", "127.0.0.1:0", "--token", "short"), 2, "--token needs"),
        (("--every", "10d", "--timelapse", "x"), 2, "not a time"),
        (("--http", "nowhere:x"), 2, "is not a number"),
        (("--quality", "101"), 2, "--quality"),
    ],
)
def test_an_error_is_reported_in_one_line(
    service: Service, tmp_path: Path, arguments: tuple[str, ...], code: int, text: str
) -> None:
    found, output = run(camera(service[1], *arguments), tmp_path)
    assert found == code, output
    assert text in output.splitlines()[-1]
    assert "Traceback" not in output
