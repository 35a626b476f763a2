"""An Arduino Uno with its boot loader, behind RFC 2217: DTR starts the loader, avrdude programs it.

The loader answers as optiboot.c of github.com/Optiboot/optiboot (version 4.4 for the ATmega328P)
does, which speaks the part of STK500 version 1 (Atmel AVR061) that avrdude needs. Its watchdog of
one second is left out: a virtual machine without KVM is slower.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress

from fakes.rfc2217_controller import Controller

FLASH_BYTES = 32 * 1024
SIGNATURE = b"\x1e\x95\x0f"
_IN_SYNC, _OK, _END = b"\x14", b"\x10", 0x20
_MAJOR, _MINOR = 0x81, 0x82
_VERSION = {_MAJOR: b"\x04", _MINOR: b"\x04"}
_OTHER_PARAMETER = b"\x03"
_GET_PARAMETER, _SET_DEVICE, _SET_DEVICE_EXT = 0x41, 0x42, 0x45
_LEAVE, _LOAD_ADDRESS, _UNIVERSAL = 0x51, 0x55, 0x56
_PROGRAM_PAGE, _READ_PAGE, _READ_SIGNATURE = 0x64, 0x74, 0x75
_SKIPPED_BYTES = {_SET_DEVICE: 20, _SET_DEVICE_EXT: 5}

# Each `yield` waits for a byte, as optiboot's getch() does.
Wait = Generator[None, int, None]
Bytes = Generator[None, int, bytes]


class _OutOfSyncError(Exception):
    """A command did not end as it must: the loader starts the sketch."""


class Optiboot(Controller):
    """`flash` is what was programmed, `sketches` how often the loader started it."""

    def __init__(self) -> None:
        super().__init__()
        self.flash = bytearray(b"\xff" * FLASH_BYTES)
        self.sketches = 0
        self._address = 0
        self._loader: Wait | None = None

    def reset(self) -> None:
        """Start the boot loader."""
        self._loader = self._load()
        next(self._loader)

    def receive(self, data: bytes) -> None:
        """Take a program's bytes; the sketch itself answers nothing."""
        self.received += data
        for byte in data:
            if self._loader is not None:
                try:
                    self._loader.send(byte)
                except StopIteration:
                    self._loader = None
                    self.sketches += 1

    def _load(self) -> Wait:
        with suppress(_OutOfSyncError):
            while (command := (yield)) != _LEAVE:
                yield from self._obey(command)
                self.answer(_OK)
            yield from self._end()
            self.answer(_OK)

    def _obey(self, command: int) -> Wait:
        if command == _PROGRAM_PAGE:
            yield from self._program_page()
        elif command == _READ_PAGE:
            size = yield from self._size_of_page()
            yield from self._end()
            self.answer(bytes(self.flash[self._address : self._address + size]))
        elif command == _LOAD_ADDRESS:
            words = yield from _read(2)
            self._address = int.from_bytes(words, "little") * 2
            yield from self._end()
        elif command == _GET_PARAMETER:
            (which,) = yield from _read(1)
            yield from self._end()
            self.answer(_VERSION.get(which, _OTHER_PARAMETER))
        elif command == _UNIVERSAL:
            yield from _read(4)
            yield from self._end()
            self.answer(b"\x00")
        else:  # to enter programming mode and to get in sync too
            yield from _read(_SKIPPED_BYTES.get(command, 0))
            yield from self._end()
            if command == _READ_SIGNATURE:
                self.answer(SIGNATURE)

    def _program_page(self) -> Wait:
        size = yield from self._size_of_page()
        page = yield from _read(size)
        yield from self._end()
        self.flash[self._address : self._address + size] = page

    def _size_of_page(self) -> Generator[None, int, int]:
        high, low, _ = yield from _read(3)  # the third says flash or EEPROM
        return high << 8 | low

    def _end(self) -> Wait:
        if (yield) != _END:
            raise _OutOfSyncError
        self.answer(_IN_SYNC)


def _read(size: int) -> Bytes:
    data = bytearray()
    while len(data) < size:
        data.append((yield))
    return bytes(data)
