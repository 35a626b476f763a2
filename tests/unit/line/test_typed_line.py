"""Lines that people type hold nothing that firmware obeys ahead of them."""

from __future__ import annotations

import pytest

from usbshare.base.errors import InvalidArgumentError
from usbshare.line.profiles import GRBL, GRBL09, GRBLHAL, MARLIN, RAW, SMOOTHIE, Profile
from usbshare.line.typed_line import require_no_realtime


@pytest.mark.parametrize("profile", [GRBL, GRBLHAL, GRBL09, SMOOTHIE], ids=lambda each: each.name)
@pytest.mark.parametrize(
    "line", ["G1 X5 ~", "G0 X1!", "$?", "G0 X1 (why?)", "; Ä", "G1 X\u0665", "(\x91)"]
)
def test_a_real_time_command_within_a_line_is_refused(profile: Profile, line: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is a real-time command to this firmware"):
        require_no_realtime(profile, line)
    require_no_realtime(profile, "$J=G91 X-1.5 F100")


def test_firmware_without_real_time_bytes_takes_any_text() -> None:
    require_no_realtime(MARLIN, "M117 Größe? 3~4!")
    require_no_realtime(RAW, "hello!")
