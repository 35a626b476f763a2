"""A loop plug behind RFC 2217: what is sent returns, DSR follows DTR, CTS follows RTS."""

from __future__ import annotations

from fakes.rfc2217_controller import Controller


class LoopPlug(Controller):
    """Pins 2-3, 4-6 and 7-8 of a 9-pole plug."""

    def reset(self) -> None:
        """There is nothing to reset."""

    def receive(self, data: bytes) -> None:
        """Return it."""
        self.answer(data)

    def _change(self, name: str, value: bool) -> bool:
        is_changed = super()._change(name, value)
        self.dsr, self.cts = self._lines["dtr"], self._lines["rts"]
        return is_changed
