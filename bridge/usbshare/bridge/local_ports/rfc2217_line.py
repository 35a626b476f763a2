"""The remote line as pyserial's PortManager wants to see it: a serial port to read and set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from usbshare.base.errors import InvalidArgumentError
from usbshare.bridge.local_ports.virtual_port import VirtualPortListener
from usbshare.line.settings import FlowControl, LineSettings, ModemLines, Parity, SettingsChange


class Rfc2217Line:
    """Turns what is set into calls of the listener; the names are pyserial's.

    `shown` and `lines` are what the far end said last. What the program asked for counts before
    `shown`: an older change, reported late, must not undo a newer one.
    """

    def __init__(self, listener: VirtualPortListener, settings: LineSettings) -> None:
        self.shown = settings
        self.lines = ModemLines()
        self._listener = listener
        self._asked = SettingsChange()
        self._break_is_on = False

    @property
    def settings(self) -> LineSettings:
        """The settings as the program shall see them."""
        return self._asked.apply_to(self.shown)

    def forget_program(self) -> None:
        """Let the next program begin with what is in force."""
        self._asked = SettingsChange()
        self._break_is_on = False

    @property
    def baudrate(self) -> int:
        """Symbols a second."""
        return self.settings.baud

    @baudrate.setter
    def baudrate(self, baud: int) -> None:
        self._ask(replace(self._asked, baud=baud))

    @property
    def bytesize(self) -> int:
        """Data bits."""
        return self.settings.data_bits

    @bytesize.setter
    def bytesize(self, data_bits: int) -> None:
        self._ask(replace(self._asked, data_bits=data_bits))

    @property
    def parity(self) -> str:
        """Parity, a letter."""
        return self.settings.parity.value

    @parity.setter
    def parity(self, letter: str) -> None:
        self._ask(replace(self._asked, parity=Parity(letter)))

    @property
    def stopbits(self) -> float:
        """Stop bits: 1, 1.5 or 2."""
        return self.settings.stop_bits

    @stopbits.setter
    def stopbits(self, stop_bits: float) -> None:
        self._ask(replace(self._asked, stop_bits=stop_bits))

    @property
    def xonxoff(self) -> bool:
        """Whether flow control is by XON and XOFF."""
        return self.settings.flow_control is FlowControl.XON_XOFF

    @xonxoff.setter
    def xonxoff(self, on: bool) -> None:
        self._ask_flow_control(FlowControl.XON_XOFF, on=on)

    @property
    def rtscts(self) -> bool:
        """Whether flow control is by RTS and CTS."""
        return self.settings.flow_control is FlowControl.RTS_CTS

    @rtscts.setter
    def rtscts(self, on: bool) -> None:
        self._ask_flow_control(FlowControl.RTS_CTS, on=on)

    @property
    def dtr(self) -> bool:
        """DTR as last read."""
        return bool(self.lines.dtr)

    @dtr.setter
    def dtr(self, on: bool) -> None:
        self._listener.program_set_lines(dtr=on, rts=None)

    @property
    def rts(self) -> bool:
        """RTS as last read."""
        return bool(self.lines.rts)

    @rts.setter
    def rts(self, on: bool) -> None:
        self._listener.program_set_lines(dtr=None, rts=on)

    # A program that waits for CTS, DSR or CD must not wait for a device without lines.

    @property
    def cts(self) -> bool:
        """CTS; asserted if the device cannot report it."""
        return self.lines.cts is not False

    @property
    def dsr(self) -> bool:
        """DSR; asserted if the device cannot report it."""
        return self.lines.dsr is not False

    @property
    def cd(self) -> bool:
        """CD; asserted if the device cannot report it."""
        return self.lines.cd is not False

    @property
    def ri(self) -> bool:
        """RI."""
        return bool(self.lines.ri)

    @property
    def break_condition(self) -> bool:
        """Whether the device has done what the program asked for last."""
        return self._break_is_on

    def set_break(self, *, on: bool, answered: Callable[[], None]) -> None:
        """Start or end a break; `answered` is called once `break_condition` reports the outcome."""

        def done(is_done: bool) -> None:
            if is_done:
                self._break_is_on = on
            answered()

        self._listener.program_set_break(on=on, answered=done)

    def reset_input_buffer(self) -> None:
        """Throw away what came from the device."""
        self._listener.program_flushed(received=True, written=False)

    def reset_output_buffer(self) -> None:
        """Throw away what the program wrote."""
        self._listener.program_flushed(received=False, written=True)

    def _ask_flow_control(self, kind: FlowControl, *, on: bool) -> None:
        if on:
            self._ask(replace(self._asked, flow_control=kind))
        elif self.settings.flow_control is kind:
            self._ask(replace(self._asked, flow_control=FlowControl.NONE))

    def _ask(self, asked: SettingsChange) -> None:
        before = self.settings
        try:
            after = asked.apply_to(self.shown)
        except InvalidArgumentError as error:
            raise ValueError(str(error)) from error  # as PortManager expects of a serial port
        self._asked = asked
        if after != before:
            self._listener.program_configured(after)
