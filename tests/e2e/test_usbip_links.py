"""A board behind a USB/IP server whose link is silent: for a while, or until it is given up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakes.processes import Process, environment, running
from fakes.slow_wire import HOST_ADDRESS, SlowWire, slow_wire

TESTS = Path(__file__).parents[1]
PORT = 3240
OPENED = r"port 'mill' opened"


@contextmanager
def far_board(home: Path) -> Iterator[tuple[Process, Process, SlowWire]]:
    """Run a board's server at one end of a wire, service and console at the other."""
    config = home / "usbshare.toml"
    source = f"usbip://{HOST_ADDRESS}/2341:0043"
    config.write_text(f'[ports.mill]\nsource = "{source}"\nprofile = "grbl"\n')
    place = {**environment(home), "PYTHONPATH": str(TESTS)}
    serve = ["python", "-m", "fakes.usbip_mock", "arduino_uno_r3", "--host", HOST_ADDRESS]
    with slow_wire() as wire:
        server = Process([*serve, "--port", str(PORT)], place, wire.host.command)
        try:
            server.wait_for(r"usbip://.*1-1 ")
            service = ["serial-svc", "--listen", "127.0.0.1:50051", "--config", str(config)]
            with running(service, home, wire.client.command) as svc:
                svc.wait_for("ready at")
                listen = ["bridge", "--target", "127.0.0.1:50051", "--tcp", "127.0.0.1:0"]
                with running(listen, home, wire.client.command) as bridge:
                    bridge.wait_for("ready: open tcp://")
                    svc.wait_for(OPENED)
                    yield svc, bridge, wire
        finally:
            server.stop()


def cut(wire: SlowWire, *, on: bool) -> None:
    wire.up.is_cut = wire.down.is_cut = on


def test_a_link_that_is_silent_for_two_seconds_loses_nothing(tmp_path: Path) -> None:
    with far_board(tmp_path) as (service, bridge, wire):
        cut(wire, on=True)
        time.sleep(2)  # the silence itself
        cut(wire, on=False)
        passed = wire.up.passed
        end = time.monotonic() + 5
        while time.monotonic() < end:  # longer than a connection that was given up would last
            assert "lost its device" not in service.output
            time.sleep(0.1)
        assert wire.up.passed > passed
        assert bridge.process.poll() is None


def test_a_link_that_stays_silent_is_given_up_and_the_port_comes_back(tmp_path: Path) -> None:
    with far_board(tmp_path) as (service, _, wire):
        cut(wire, on=True)
        begun = time.monotonic()
        service.wait_for(r"port 'mill' lost its device: usbip://.* the server has been silent", 30)
        assert time.monotonic() - begun > 3
        cut(wire, on=False)
        end = time.monotonic() + 60
        while service.output.count("port 'mill' opened") < 2:
            assert time.monotonic() < end, service.output
            time.sleep(0.1)
