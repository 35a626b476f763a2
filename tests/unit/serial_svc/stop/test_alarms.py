from __future__ import annotations

import pytest

from usbshare.serial_svc.stop.alarms import Alarms

# gnea/grbl report.c (1.1), protocol.c; grblHAL and GRBL 0.9 as their sources say.
HARD_LIMIT = b"ALARM:1\r\n[MSG:Reset to continue]\r\n"
ABORTED = b"ok\r\nALARM:3\r\n\r\nGrbl 1.1h ['$' for help]\r\n[MSG:'$H'|'$X' to unlock]\r\n"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (HARD_LIMIT, ["ALARM:1"]),
        (ABORTED, ["ALARM:3", ""]),
        (b"ALARM: Hard/soft limit\r\n", ["ALARM: Hard/soft limit"]),
        (b"\r\nGrblHAL 1.1f ['$' or '$HELP' for help]\r\n", [""]),
        (b"[MSG:ALARM:1]\r\n<Alarm|MPos:0,0,0>\r\n[ALARMCODE:1||]\r\nGrblish\r\n", []),
        (b"ALARM:1" + 500 * b"x" + b"\r\nALARM:2\r\n", ["ALARM:1" + 73 * "x", "ALARM:2"]),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_alarms_and_greetings_are_found_however_they_are_split(
    said: bytes, told: list[str], size: int
) -> None:
    alarms = Alarms()
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    assert [words for piece in pieces for words in alarms.feed(piece)] == told
