"""pyserial's handler of usbshare:// URLs; found by its name once `register` was called."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import serial

from usbshare.base.errors import NotSupportedError, UsbshareError
from usbshare.base.standard_streams import ensure_standard_streams
from usbshare.line.settings import FlowControl, LineSettings, Parity
from usbshare.rpc.grpc_environment import prepare_grpc

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from usbshare.bridge.pyserial.remote_line import RemoteLine


class Serial(serial.SerialBase):
    """A remote port as pyserial's own; a lost link makes every later call raise SerialException.

    Opening leaves DTR and RTS alone unless they were set to False before: raising them would
    reset many controllers.
    """

    _line: RemoteLine | None = None
    _finalizer: weakref.finalize[[], Serial] | None = None

    def open(self) -> None:
        """Begin the session and apply the settings; SerialException says in a line why not."""
        if self.port is None:
            raise serial.SerialException("Port must be configured before it can be used.")
        if self.is_open:
            raise serial.SerialException("Port is already open.")
        settings = self._settings()
        with _as_serial_exception():
            line = _open_line(self.port)
            # Ends the session also for a program that forgets to.
            self._finalizer = weakref.finalize(self, line.close)
            try:
                line.configure(settings)
                self._lower_lines(line)
            except BaseException:
                self._finalizer()
                raise
        self._line = line
        self.is_open = True

    def close(self) -> None:
        """End the session; what was written goes out first, for 5 s at most."""
        self.is_open = False
        self._line = None
        finalizer, self._finalizer = self._finalizer, None
        if finalizer is not None:
            finalizer()

    def read(self, size: int = 1, /) -> bytes:
        """Return `size` bytes, or fewer at the timeout."""
        with _as_serial_exception():
            return self._require().read(size, self.timeout, self.inter_byte_timeout)

    def write(self, b: ReadableBuffer, /) -> int:
        """Write all and return how many; SerialTimeoutException when there is no room in time."""
        data: bytes = serial.to_bytes(b)  # type: ignore[attr-defined]  # the stub forgets it
        with _as_serial_exception():
            written = self._require().write(data, self.write_timeout)
        if written < len(data) and self.write_timeout != 0:
            raise serial.SerialTimeoutException("Write timeout")
        return written

    def flush(self) -> None:
        """Wait until the far driver has all that was written."""
        with _as_serial_exception():
            self._require().drain()

    def cancel_read(self) -> None:
        """End a read that waits in another thread."""
        self._require().cancel_read()

    def reset_input_buffer(self) -> None:
        """Drop all that the device sent before this call."""
        with _as_serial_exception():
            self._require().discard_input()

    def reset_output_buffer(self) -> None:
        """Drop all that was written and has not left."""
        with _as_serial_exception():
            self._require().discard_output()

    @property
    def in_waiting(self) -> int:
        """How many bytes can be read at once."""
        with _as_serial_exception():
            return self._require().waiting_bytes()

    @property
    def out_waiting(self) -> int:
        """How many bytes were written and are not at the far driver."""
        with _as_serial_exception():
            return self._require().unsent_bytes()

    @property
    def cts(self) -> bool:
        """Clear to send; False if the device cannot report it, as for the other inputs."""
        return self._modem_line("cts")

    @property
    def dsr(self) -> bool:
        """Data set ready."""
        return self._modem_line("dsr")

    @property
    def ri(self) -> bool:
        """Ring indicator."""
        return self._modem_line("ri")

    @property
    def cd(self) -> bool:
        """Carrier detect."""
        return self._modem_line("cd")

    # What SerialBase calls when a property is set on an open port.

    def _reconfigure_port(self) -> None:
        with _as_serial_exception():
            self._require().configure(self._settings())

    def _update_dtr_state(self) -> None:
        with _as_serial_exception():
            self._require().set_lines(dtr=bool(self.dtr))

    def _update_rts_state(self) -> None:
        with _as_serial_exception():
            self._require().set_lines(rts=bool(self.rts))

    def _update_break_state(self) -> None:
        on = bool(self.break_condition)
        self._break_state = False
        with _as_serial_exception():
            self._require().set_break(on=on)
        self._break_state = on

    def _settings(self) -> LineSettings:
        if self.xonxoff and self.rtscts:
            raise ValueError("xonxoff and rtscts cannot be combined on a usbshare:// port")
        return LineSettings(
            self.baudrate, self.bytesize, Parity(self.parity), self.stopbits, self._flow_control()
        )

    def _flow_control(self) -> FlowControl:
        if self.xonxoff:
            return FlowControl.XON_XOFF
        return FlowControl.RTS_CTS if self.rtscts else FlowControl.NONE

    def _lower_lines(self, line: RemoteLine) -> None:
        if self.dtr and self.rts:
            return
        with suppress(NotSupportedError):  # a pty has none; pyserial ignores that at open too
            line.set_lines(dtr=None if self.dtr else False, rts=None if self.rts else False)

    def _modem_line(self, name: str) -> bool:
        with _as_serial_exception():
            return bool(getattr(self._require().modem_lines(), name))

    def _require(self) -> RemoteLine:
        line = self._line
        if line is None:
            raise serial.PortNotOpenError
        return line


def _open_line(url: str) -> RemoteLine:
    ensure_standard_streams()
    prepare_grpc()
    from usbshare.bridge.pyserial.address import parse_url  # noqa: PLC0415 - imports grpc
    from usbshare.bridge.pyserial.remote_line import RemoteLine  # noqa: PLC0415 - imports grpc

    line = RemoteLine(parse_url(url))
    line.open()
    return line


@contextmanager
def _as_serial_exception() -> Iterator[None]:
    try:
        yield
    except UsbshareError as error:
        raise serial.SerialException(" ".join(str(error).splitlines())) from error
