"""A controller that resets when DTR rises, as Arduino-based GRBL boards do, behind RFC 2217.

pyserial's own PortManager speaks the protocol, as in its example `rfc2217_server.py`. One
client is served after another; the lines stay as the last one left them.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from serial.rfc2217 import PortManager

BANNER = b"\r\nGrbl 1.1h ['$' for help]\r\n"
VERSION = b"[VER:1.1h.20190825:]\r\n[OPT:V,15,128]\r\nok\r\n"
STATUS = b"<Idle|MPos:0.000,0.000,0.000|FS:0,0>\r\n"
DEADLINE_S = 60.0


class Controller:
    """What PortManager takes for a serial port; `resets` counts the rising edges of DTR."""

    def __init__(self) -> None:
        self.baudrate, self.bytesize, self.parity, self.stopbits = 115200, 8, "N", 1
        self.xonxoff = self.rtscts = False
        self.cts = self.dsr = self.cd = True
        self.ri = False
        self.changes: list[tuple[str, bool]] = []
        self.clients = 0
        self.received = bytearray()
        self._lines = {"dtr": False, "rts": False, "break": False}
        self._answers = bytearray()

    @property
    def resets(self) -> int:
        """How often DTR has risen."""
        return self.changes.count(("dtr", True))

    @property
    def dtr(self) -> bool:
        return self._lines["dtr"]

    @dtr.setter
    def dtr(self, value: bool) -> None:
        if self._change("dtr", value) and value:
            self.reset()

    @property
    def rts(self) -> bool:
        return self._lines["rts"]

    @rts.setter
    def rts(self, value: bool) -> None:
        self._change("rts", value)

    @property
    def break_condition(self) -> bool:
        return self._lines["break"]

    @break_condition.setter
    def break_condition(self, value: bool) -> None:
        self._change("break", value)

    def reset(self) -> None:
        """Do what the board does when DTR rises."""
        self.answer(BANNER)

    def answer(self, data: bytes) -> None:
        """Send this to the client with what comes next."""
        self._answers += data

    def reset_input_buffer(self) -> None:
        """Forget what has not been sent to the client."""
        self._answers.clear()

    def reset_output_buffer(self) -> None:
        """Forget what has not been taken: nothing, here."""

    def receive(self, data: bytes) -> None:
        """Take a program's bytes."""
        for byte in data:
            self.received.append(byte)
            if byte == ord("?"):
                self._answers += STATUS
            elif byte == ord("\n"):
                line = bytes(self.received).splitlines()[-1]
                self._answers += VERSION if line.endswith(b"$I") else b"ok\r\n"

    def answers(self) -> bytes:
        """Return what is to be sent to the client."""
        data = bytes(self._answers)
        self._answers.clear()
        return data

    def _change(self, name: str, value: bool) -> bool:
        """Set a line; True when that changed it."""
        if self._lines[name] == value:
            return False
        self._lines[name] = value
        self.changes.append((name, value))
        return True


class _Connection:
    """What PortManager writes to."""

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected

    def write(self, data: bytes) -> None:
        with suppress(OSError):
            self._connected.sendall(data)


@contextmanager
def rfc2217_controller() -> Iterator[tuple[Controller, str]]:
    """Run a controller on a free port of loopback; yields it and its URL."""
    controller = Controller()
    with rfc2217_server(controller) as url:
        yield controller, url


@contextmanager
def rfc2217_server(controller: Controller) -> Iterator[str]:
    """Run this controller on a free port of loopback; yields its URL."""
    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_serve, args=(server, controller), daemon=True)
    thread.start()
    try:
        yield f"rfc2217://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        thread.join(DEADLINE_S)
        server.close()


def _serve(server: socket.socket, controller: Controller) -> None:
    with suppress(OSError):  # the listener was shut down
        while True:
            connected, _ = server.accept()
            controller.clients += 1
            with connected, suppress(OSError):
                _converse(connected, controller)


def _converse(connected: socket.socket, controller: Controller) -> None:
    connection = _Connection(connected)
    port: Any = controller
    way_back: Any = connection  # the stubs ask for a whole serial port
    manager = PortManager(port, way_back)
    while data := connected.recv(4096):
        controller.receive(b"".join(manager.filter(data)))
        manager.check_modem_lines()
        connection.write(b"".join(manager.escape(controller.answers())))
