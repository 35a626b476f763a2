"""What root does for a user: one socket, one port, and nothing after it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from usbshare.usbip.messages import Speed
from usbshare.usbip.vhci import helper
from usbshare.usbip.vhci.attach import PlugPlaces, VhciError, plug_in
from usbshare.usbip.vhci.helper import PlugError, Vhci


class Kernel(Vhci):
    """Notes what it is asked, and keeps the socket, as the kernel does."""

    def __init__(self, sysfs: Path) -> None:
        super().__init__(sysfs)
        self.attached: list[tuple[socket.socket, int, int]] = []
        self.detached: list[tuple[int, int]] = []

    def attach(self, descriptor: int, devid: int, speed: int) -> int:
        kept = socket.socket(fileno=os.dup(descriptor))
        self.attached.append((kept, devid, speed))
        return 5

    def detach(self, number: int, devid: int) -> None:
        self.detached.append((number, devid))


class Service:
    """The helper behind its socket, one thread a connection as systemd has one process."""

    def __init__(self, folder: Path) -> None:
        (folder / "devices/platform/vhci_hcd.0").mkdir(parents=True)
        (folder / "devices/platform/vhci_hcd.0/attach").touch()
        self.kernel = Kernel(folder)
        self.places = PlugPlaces(folder, folder / "attach.sock")
        self.threads: list[threading.Thread] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.places.helper))
        self._listening.listen()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def ask(self, data: bytes, *descriptors: int) -> bytes:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self.places.helper))
            socket.send_fds(asking, [data], list(descriptors))
            return asking.recv(1024)

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in (self._accepting, *self.threads):
            thread.join(10)
            assert not thread.is_alive()
        for kept, _, _ in self.kernel.attached:
            kept.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=helper.serve, args=(client, self.kernel)))
            self.threads[-1].start()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.stop()


def test_a_device_is_plugged_in_and_unplugged_when_its_owner_goes(service: Service) -> None:
    plugged = plug_in(Speed.FULL, service.places)
    ((kernels, devid, speed),) = service.kernel.attached
    assert (plugged.port, speed) == (5, Speed.FULL)
    plugged.end.send(b"to the kernel")
    assert kernels.recv(64) == b"to the kernel"
    assert service.kernel.detached == []
    plugged.close_helper()
    service.threads[0].join(10)
    assert service.kernel.detached == [(5, devid)]
    plugged.end.close()


def test_a_descriptor_that_is_not_a_stream_socket_is_refused(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, open("/dev/null", "rb") as null:
        assert b"error the descriptor received is not a stream" in service.ask(
            b"attach 1 2", tcp.fileno()
        )
        assert service.ask(b"attach 1 2", null.fileno()).startswith(b"error ")
    assert service.kernel.attached == []


@pytest.mark.parametrize(
    "data", [b"detach 1 2", b"attach 1", b"attach x 2", b"attach 1 77", b"attach -1 2", b"\xff"]
)
def test_a_malformed_request_is_refused(service: Service, data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert service.ask(data, theirs.fileno()).startswith(b"error ")
    assert service.kernel.attached == []


def test_a_request_without_a_socket_is_refused(service: Service) -> None:
    assert service.ask(b"attach 1 2") == b"error the request carries no socket\n"


def test_a_refusal_of_the_kernel_reaches_the_user(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PlugError("all ports of the virtual USB controller are in use")

    monkeypatch.setattr(service.kernel, "attach", refuse)
    with pytest.raises(VhciError, match="all ports of the virtual USB controller are in use"):
        plug_in(Speed.FULL, service.places)


def test_a_copy_serves_its_standard_input_with_nothing_but_python(tmp_path: Path) -> None:
    copy = tmp_path / "usbshare-usb-attach"
    shutil.copy(helper.__file__, copy)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-I", "-S", str(copy), str(tmp_path)]
        with subprocess.Popen(command, stdin=theirs.fileno(), cwd="/") as program:
            device, kernels = socket.socketpair()
            with device, kernels:
                socket.send_fds(ours, [helper.request(7, Speed.FULL)], [kernels.fileno()])
                assert b"sudo modprobe vhci-hcd" in ours.recv(1024)
            assert program.wait(30) == 0
