"""The harness that starts every service: a service of twenty lines, and what systemd is told."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fakes import echo_service, hanging_service
from fakes.echo_proto import SERVICE_NAME
from fakes.processes import DEADLINE_S, Process, environment, free_port
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.tls import ClientBundle

SERVICES = ["serial-svc", "camera-svc", "discovery-svc"]
ROOT = Path(__file__).parents[2]
TIMEOUT_S = DEADLINE_S
ECHO = ["python", str(Path(echo_service.__file__))]
HANGING = ["python", str(Path(hanging_service.__file__))]

needs_unix_sockets = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="there is no systemd without Unix sockets"
)


@contextmanager
def service(command: list[str], home: Path, **variables: str) -> Iterator[Process]:
    paths = {"PYTHONPATH": str(ROOT / "tests")}
    process = Process(command, {**environment(home), **paths, **variables})
    try:
        yield process
    finally:
        process.stop()


def echo_on(port: int, home: Path) -> grpc.aio.Channel:
    bundle = ClientBundle.load(home / "config" / "usbshare" / "client.pem")
    return open_channel(Target("127.0.0.1", port), bundle)


async def echo(channel: grpc.aio.Channel, text: str) -> str:
    call = channel.unary_unary(
        f"/{SERVICE_NAME}/Echo",
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )
    return str((await call(StringValue(value=text), timeout=TIMEOUT_S)).value)


async def test_a_service_of_twenty_lines_is_called_over_mtls(tmp_path: Path) -> None:
    config = tmp_path / "usbshare.toml"
    config.write_text('[echo]\nprefix = "hello "\n')
    arguments = ["--config", str(config), "--listen", "127.0.0.1:0"]
    with service([*ECHO, *arguments], tmp_path) as process:
        ready = await asyncio.to_thread(
            process.wait_for, r"echo-svc ready at 127\.0\.0\.1:(\d+) \(mTLS, site \w+\)$"
        )
        async with echo_on(int(ready[1]), tmp_path) as channel:
            assert await echo(channel, "world") == "hello world"
            health: Any = health_pb2_grpc.HealthStub(channel)
            asked = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
            answer = await health.Check(asked, timeout=TIMEOUT_S)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert process.stop() == 0
    assert process.lines[-2:][0].endswith("stopping: accepting no new calls, ending calls")
    assert process.lines[-1].endswith("stopped")


async def test_a_caller_without_a_certificate_can_call_nothing(tmp_path: Path) -> None:
    with service([*ECHO, "--listen", "127.0.0.1:0"], tmp_path) as process:
        ready = await asyncio.to_thread(process.wait_for, r"ready at 127\.0\.0\.1:(\d+)")
        credentials = grpc.ssl_channel_credentials()
        async with grpc.aio.secure_channel(f"127.0.0.1:{ready[1]}", credentials) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await echo(channel, "world")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--check-config"], 0, "no configuration file: correct"),
        (["--dump-config"], 0, r'listen = "\[::\]:50060"'),
        (["--listen", "192.0.2.1:0"], 2, "cannot listen at"),
        (["--insecure", "--listen", "0.0.0.0:0"], 2, "without TLS"),
        (["doctor"], 2, "No such command"),
    ],
)
def test_a_minimal_service_has_the_command_line_of_every_service(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    with service([*ECHO, *arguments], tmp_path) as process:
        assert process.wait() == code
    assert re.search(said, process.output)


def test_the_documents_show_that_very_service() -> None:
    source = Path(echo_service.__file__).read_text(encoding="utf-8")
    shown = re.search(r"# \[docs\]\n(.*)# \[/docs\]\n", source, re.DOTALL)
    assert shown is not None
    architecture = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert f"```python\n{shown[1]}```\n" in architecture


class NotifySocket:
    """The socket of a systemd; tells what was sent to it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(DEADLINE_S)

    def next(self) -> str:
        return self._socket.recv(4096).decode()

    def next_but_watchdog(self) -> str:
        while (said := self.next()) == "WATCHDOG=1":
            pass
        return said

    def silent_for(self, duration_s: float) -> bool:
        self._socket.settimeout(duration_s)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(DEADLINE_S)
        return False

    def drain(self) -> None:
        while not self.silent_for(0.001):
            pass

    def fill(self) -> None:
        """Leave no room for a datagram more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            while True:
                try:
                    sender.sendto(b"", self.address)
                except BlockingIOError:
                    return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[NotifySocket]:
    with closing(NotifySocket(str(tmp_path / "notify"))) as made:
        yield made


@needs_unix_sockets
@pytest.mark.parametrize("name", SERVICES)
def test_systemd_is_notified_that_a_service_is_ready_alive_and_stopping(
    tmp_path: Path, systemd: NotifySocket, name: str
) -> None:
    port = free_port()
    variables = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "300000"}
    with service([name, "--listen", f"127.0.0.1:{port}"], tmp_path, **variables) as process:
        assert systemd.next() == "READY=1"
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S).close()
        assert [systemd.next() for _ in range(3)] == ["WATCHDOG=1"] * 3
        process.process.send_signal(signal.SIGTERM)
        assert systemd.next_but_watchdog() == "STOPPING=1"
        assert process.wait() == 0


@needs_unix_sockets
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="abstract sockets are Linux's")
def test_the_socket_may_be_abstract_and_no_watchdog_is_notified_unrequested(
    tmp_path: Path,
) -> None:
    with closing(NotifySocket(f"@usbshare-test-{secrets.token_hex(8)}")) as systemd:
        variables = {"NOTIFY_SOCKET": systemd.address}
        with service([*ECHO, "--listen", "127.0.0.1:0"], tmp_path, **variables) as process:
            assert systemd.next() == "READY=1"
            process.process.send_signal(signal.SIGTERM)
            assert systemd.next() == "STOPPING=1"
            assert process.wait() == 0


@needs_unix_sockets
def test_a_watchdog_meant_for_another_process_is_not_notified(
    tmp_path: Path, systemd: NotifySocket
) -> None:
    variables = {"WATCHDOG_USEC": "300000", "WATCHDOG_PID": str(os.getpid())}
    variables["NOTIFY_SOCKET"] = systemd.address
    with service([*ECHO, "--listen", "127.0.0.1:0"], tmp_path, **variables) as process:
        assert systemd.next() == "READY=1"
        process.process.send_signal(signal.SIGTERM)
        assert systemd.next() == "STOPPING=1"


@needs_unix_sockets
async def test_a_loop_that_hangs_does_not_notify_the_watchdog(
    tmp_path: Path, systemd: NotifySocket
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    variables = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "300000"}
    with service([*HANGING, "--listen", "127.0.0.1:0"], tmp_path, **variables) as process:
        ready = await asyncio.to_thread(process.wait_for, r"ready at 127\.0\.0\.1:(\d+)")
        assert systemd.next() == "READY=1"
        assert systemd.next() == "WATCHDOG=1"
        async with echo_on(int(ready[1]), tmp_path) as channel:
            calling = asyncio.create_task(echo(channel, str(gate)))
            end = await asyncio.to_thread(gate.open, "wb")  # the service holds the other end
            systemd.drain()
            assert systemd.silent_for(1.0)
            end.close()
            assert await calling == str(gate)
            assert systemd.next() == "WATCHDOG=1"


@needs_unix_sockets
def test_a_systemd_that_reads_nothing_delays_nothing(tmp_path: Path, systemd: NotifySocket) -> None:
    systemd.fill()
    variables = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "300000"}
    with service([*ECHO, "--listen", "127.0.0.1:0"], tmp_path, **variables) as process:
        process.wait_for("ready at")
        assert process.stop() == 0


@needs_unix_sockets
def test_readiness_is_reported_until_it_is_received(tmp_path: Path, systemd: NotifySocket) -> None:
    systemd.fill()
    variables = {"NOTIFY_SOCKET": systemd.address}
    with service([*ECHO, "--listen", "127.0.0.1:0"], tmp_path, **variables) as process:
        process.wait_for("ready at")
        while not (said := systemd.next()):
            pass
        assert said == "READY=1"


@needs_unix_sockets
def test_a_socket_that_is_not_there_is_reported_once_and_stops_nothing(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    variables = {"NOTIFY_SOCKET": str(nowhere), "WATCHDOG_USEC": "3000"}
    with service([*ECHO, "--listen", "127.0.0.1:0"], tmp_path, **variables) as process:
        process.wait_for(f"cannot notify systemd: {nowhere}: No such file or directory")
        systemd = NotifySocket(str(nowhere))
        with closing(systemd):
            assert systemd.next() == "READY=1"
        assert process.stop() == 0
    assert process.output.count("cannot notify systemd") <= 2
