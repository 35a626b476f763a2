"""The camera service as its operator and its viewers see it: a process, mTLS, real pictures."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
import tomllib
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.cameras import decoded, noisy_jpeg
from fakes.discovery_hosts import Computer, endpoints
from fakes.network import Network
from fakes.processes import SCRIPTS, camera_service, environment, free_port, run, running
from fakes.processes import Process as ServiceProcess
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub
from usbshare.camera_svc.sim.bar_code import read_stamp
from usbshare.discovery.v1 import discovery_pb2
from usbshare.rpc.channel import open_channel, parse_target
from usbshare.rpc.tls import ClientBundle

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "watch.py"
TIMEOUT_S = 60.0
BED = '[cameras.bed]\nsource = "sim://bed?width=640&height=360&fps=30"\n'


def bundle_of(home: Path) -> Path:
    return home / "config" / "usbshare" / "client.pem"


def configured(home: Path, text: str) -> str:
    path = home / "usbshare.toml"
    path.write_text(text)
    return str(path)


@asynccontextmanager
async def connected(home: Path, target: str) -> AsyncIterator[Any]:
    channel = open_channel(
        parse_target(target),
        ClientBundle.load(bundle_of(home)),
        most_message_bytes=16 * 1024 * 1024,
    )
    try:
        yield CameraServiceStub(channel)
    finally:
        await channel.close()


async def of_the_camera(call: Any, count: int) -> list[pb.Frame]:
    """Return frames that stand in for nothing, as they do until a camera delivers its first."""
    found: list[pb.Frame] = []
    while len(found) < count:
        found += [frame for frame in await frames(call, 1) if not frame.is_placeholder]
    return found


async def frames(call: Any, count: int) -> list[pb.Frame]:
    """Return frames, acknowledged as they come."""
    found: list[pb.Frame] = []
    async with asyncio.timeout(TIMEOUT_S):
        while len(found) < count:
            response = await call.read()
            assert response is not grpc.aio.EOF, "the stream ended"
            if response.HasField("frame"):
                found.append(response.frame)
                await acknowledge(call, response.frame.sequence)
    return found


async def acknowledge(call: Any, sequence: int) -> None:
    await call.write(pb.WatchRequest(acknowledge=pb.Acknowledge(sequence=sequence)))


async def opened(stub: Any, **asked: Any) -> Any:
    call = stub.Watch()
    await call.write(pb.WatchRequest(open=pb.Open(**asked)))
    return call


async def stats(stub: Any) -> pb.CameraStats:
    call = stub.WatchStats(pb.WatchStatsRequest(), timeout=TIMEOUT_S)
    response = await call.read()
    call.cancel()
    found: pb.CameraStats = response.cameras[0]
    return found


async def until_stats(stub: Any, holds: Callable[[pb.CameraStats], object]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not holds(await stats(stub)):  # noqa: ASYNC110  # there is no event of it
            await asyncio.sleep(0.05)


@pytest.mark.skipif(any(Path("/dev").glob("video*")), reason="there is a camera here")
async def test_without_configuration_a_simulated_bed_is_offered_and_the_log_says_so(
    tmp_path: Path,
) -> None:
    with camera_service(tmp_path) as (service, target):
        service.wait_for("no camera here: offering a simulated laser bed as camera 'demo'")
        service.wait_for("ready at .*, cameras: demo")
        async with connected(tmp_path, target) as stub:
            before_ms = time.time() * 1000
            seen = await of_the_camera(await opened(stub), 5)
            stamps = [read_stamp(decoded(frame.data)) for frame in seen]
    numbers = [number for number, _ in stamps]
    assert numbers == sorted(set(numbers))
    assert all(before_ms - 1000 <= at <= time.time() * 1000 for _, at in stamps)
    assert all(
        abs(at - frame.capture_time.ToMilliseconds()) < 1000
        for (_, at), frame in zip(stamps, seen, strict=True)
    )


async def test_motion_jpeg_of_a_file_reaches_the_viewer_as_it_is(tmp_path: Path) -> None:
    pictures = [noisy_jpeg(seed=seed) for seed in range(5)]
    (tmp_path / "bed.mjpeg").write_bytes(b"".join(pictures))
    config = configured(tmp_path, f'[cameras.bed]\nsource = "{tmp_path}/bed.mjpeg"\n')
    with camera_service(tmp_path, "--config", config) as (_, target):
        async with connected(tmp_path, target) as stub:
            call = await opened(stub)
            assert {frame.data for frame in await of_the_camera(call, 10)} <= set(pictures)
            found = await stats(stub)
    assert (found.decoded_frames, found.encoded_frames, found.bad_frames) == (0, 0, 0)
    assert found.passed_frames >= 10


async def test_a_viewer_whose_computer_dies_leaves(tmp_path: Path) -> None:
    with camera_service(tmp_path, "--config", configured(tmp_path, BED)) as (service, target):
        network = Network(target)
        await network.start()
        try:
            async with (
                connected(tmp_path, network.target) as far,
                connected(tmp_path, target) as near,
            ):
                await frames(await opened(far, client_name="far"), 3)
                network.black_hole()
                await until_stats(near, lambda found: not found.viewers)
                service.wait_for(r"\(far\) .*stopped watching")
        finally:
            await network.close()


async def test_a_viewer_that_never_acknowledges_holds_its_window_and_no_more(
    tmp_path: Path,
) -> None:
    with camera_service(tmp_path, "--config", configured(tmp_path, BED)) as (_, target):
        async with connected(tmp_path, target) as stub:
            silent = await opened(stub, client_name="silent", window=3)
            await frames(await opened(stub, client_name="other"), 30)
            viewers = {viewer.client_name: viewer for viewer in (await stats(stub)).viewers}
            assert viewers["silent"].sent_frames == 3
            assert viewers["silent"].dropped_window > 0
            assert viewers["other"].sent_frames >= 30
            silent.cancel()
            await until_stats(stub, lambda found: len(found.viewers) == 1)


async def test_both_signals_end_the_service_cleanly_and_notify_its_viewers(tmp_path: Path) -> None:
    config = configured(tmp_path, BED)
    for number in (signal.SIGTERM, signal.SIGINT):
        arguments = ["camera-svc", "--listen", "127.0.0.1:0", "--config", config]
        service = ServiceProcess(arguments, environment(tmp_path))
        target = service.wait_for(r"ready at (127\.0\.0\.1:\d+)")[1]
        async with connected(tmp_path, target) as stub:
            call = await opened(stub)
            await frames(call, 3)
            stopping = asyncio.create_task(asyncio.to_thread(service.stop, number))
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await frames(call, 100_000)
            assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
            assert ended.value.details() == "the service is stopping"
            assert await stopping == 0
        assert "Traceback" not in service.output
        assert service.lines[-1].endswith("stopped")


def test_metrics_are_served_where_configured(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    config = configured(tmp_path, f'[camera]\nmetrics = "{address}"\n{BED}always_on = true\n')
    with camera_service(tmp_path, "--config", config):
        end = time.monotonic() + TIMEOUT_S
        while 'usbshare_camera_live{camera="bed"} 1.0' not in (page := fetched(address)):
            assert time.monotonic() < end, page
    assert 'usbshare_camera_captured_frames_total{camera="bed"}' in page
    assert 'usbshare_camera_encode_time_seconds_count{camera="bed"} 0.0' in page


def fetched(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as reply:
        text: str = reply.read().decode()
    return text


def test_a_configuration_is_checked_and_dumped(tmp_path: Path) -> None:
    wrong = configured(tmp_path, '[cameras.bed]\nsource = "sim://lathe"\nfps = 500\n')
    code, output = run(["camera-svc", "--check-config", "--config", wrong], tmp_path)
    assert code == 2
    assert "cameras.bed.source" in output
    assert "cameras.bed.fps: 500" in output
    right = configured(tmp_path, BED)
    code, output = run(
        ["camera-svc", "--dump-config", "--config", right, "--listen", "127.0.0.1:1"], tmp_path
    )
    assert code == 0
    dumped = tomllib.loads(output)
    assert dumped["camera"]["listen"] == "127.0.0.1:1"
    assert dumped["cameras"]["bed"]["linger_s"] == 10.0


def test_an_address_in_use_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        code, output = run(["camera-svc", "--listen", address], tmp_path)
    assert code == 2
    assert f"cannot listen at {address}: address already in use" in output
    assert "Traceback" not in output


def test_plaintext_is_for_this_computer_only(tmp_path: Path) -> None:
    code, output = run(["camera-svc", "--insecure", "--listen", "[::]:0"], tmp_path)
    assert code == 2
    assert "refused to listen" in output


def test_a_camera_service_is_announced_and_withdrawn_at_its_end(tmp_path: Path) -> None:
    host = Computer(tmp_path, free_port(socket.SOCK_DGRAM))
    config = str(host.config)
    with (
        host.discovery(),
        host.watched() as watcher,
        running(["camera-svc", "--listen", "127.0.0.1:0", "--config", config], tmp_path) as one,
    ):
        port = int(one.wait_for(r"ready at 127\.0\.0\.1:(\d+)")[1])
        own = {(int(discovery_pb2.KIND_CAMERA), port)}

        def is_there() -> bool:
            found = watcher.named(host.name)
            return found is not None and own <= endpoints(found)

        watcher.wait_for(is_there)
        one.process.send_signal(signal.SIGKILL)
        watcher.wait_for(lambda: not is_there())


def test_one_command_runs_the_camera_service_beside_the_others(tmp_path: Path) -> None:
    port = free_port()
    config = configured(tmp_path, f'[camera]\nlisten = "127.0.0.1:{port}"\n{BED}')
    command = [str(SCRIPTS / "python"), "-m", "usbshare.service.supervisor", "camera-svc"]
    with running(["/usr/bin/env", f"USBSHARE_CONFIG={config}", *command], tmp_path) as services:
        services.wait_for(rf"camera-svc ready at 127\.0\.0\.1:{port} .*, cameras: bed")
        assert services.stop() == 0
        assert services.output.count("stopped") == 1


def test_the_python_example_takes_ten_frames(tmp_path: Path) -> None:
    with camera_service(tmp_path, "--config", configured(tmp_path, BED)) as (_, target):
        bundle, kept = str(bundle_of(tmp_path)), tmp_path / "kept.jpg"
        arguments = ["python", str(EXAMPLE), target, bundle, str(kept)]
        code, output = run(arguments, tmp_path)
        assert code == 0, output
        first, *rest = output.splitlines()
        assert first == "watching 'bed'"
        assert len(rest) == 10
        assert all("640x360" in line for line in rest)
        assert decoded(kept.read_bytes()).shape == (360, 640, 3)
        code, output = run([*arguments, "lathe"], tmp_path)
        assert (code, output) == (1, "NOT_FOUND: no camera 'lathe' here; available: bed")


def test_a_generic_client_takes_a_snapshot(tmp_path: Path) -> None:
    with camera_service(tmp_path, "--config", configured(tmp_path, BED)) as (_, target):
        path = f"PATH={SCRIPTS}{os.pathsep}{os.environ['PATH']}"
        script, kept = str(EXAMPLE.with_name("snapshot.sh")), tmp_path / "snapshot.jpg"
        bundle = str(bundle_of(tmp_path))
        arguments = ["/usr/bin/env", path, "sh", script, target, bundle, str(kept)]
        code, output = run(arguments, tmp_path)
        assert code == 0, output
        assert decoded(kept.read_bytes()).shape == (360, 640, 3)
