"""`--buffered`: one program whose motion lines are answered early, and how far ahead it may be."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.bridge.buffered.buffer_size import LEAST_BYTES, BufferSize
from usbshare.bridge.buffered.buffered_upstream import BufferedUpstream
from usbshare.bridge.buffered.early_answers import EarlyAnswers
from usbshare.client.serial.messages import RemotePort


class Buffering:
    """The lines of one program, on their way through `upstream`."""

    def __init__(self, size: BufferSize) -> None:
        self._size = size
        self._was_held = False
        self._receiver: Callable[[bytes], None] = _nobody
        self._answers = EarlyAnswers(self._give, LEAST_BYTES)
        self.upstream = BufferedUpstream(self._answers)

    def give_to(self, receiver: Callable[[bytes], None]) -> None:
        """Give the answers that are not the device's own to the program there."""
        self._receiver = receiver

    def port_is(self, port: RemotePort) -> None:
        """Follow the port: its line sizes the buffer, and once it is not held, answers go on."""
        self._answers.most_bytes = self._size.on(port.settings.bytes_per_s)
        if self._was_held and port.hold is None:
            self._answers.release()
        self._was_held = port.hold is not None

    def program_left(self) -> None:
        """Give the answers to its lines to nobody."""
        self._answers.program_left()

    def _give(self, answer: bytes) -> None:
        self._receiver(answer)


def _nobody(answer: bytes) -> None:
    del answer
