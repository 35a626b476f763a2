"""A board with an ESP32, whose EN and IO0 pins hang on RTS and DTR.

The two transistors are those that esptool's resets rely on: `hard_reset` and
`classic_bootloader_reset` of `esp_pylib/serial_reset.py`, which esptool 5 uses.
"""

from __future__ import annotations

from fakes.rfc2217_controller import BANNER, Controller

FIRMWARE, BOOT_LOADER = "firmware", "boot loader"


class Esp32Board(Controller):
    """RTS alone pulls EN low, DTR alone IO0, both together neither; `boots` says what started."""

    def __init__(self) -> None:
        super().__init__()
        self.boots: list[str] = []

    @property
    def is_held_in_reset(self) -> bool:
        """Whether EN is low."""
        return self._lines["rts"] and not self._lines["dtr"]

    @property
    def levels(self) -> tuple[bool, bool]:
        """DTR and RTS."""
        return self._lines["dtr"], self._lines["rts"]

    def _change(self, name: str, value: bool) -> bool:
        was_held = self.is_held_in_reset
        if super()._change(name, value) and was_held and not self.is_held_in_reset:
            dtr, rts = self.levels
            self.boots.append(BOOT_LOADER if dtr and not rts else FIRMWARE)
            self._answers += BANNER
        return False  # what the base does as DTR rises is an Arduino's
