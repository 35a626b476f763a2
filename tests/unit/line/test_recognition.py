"""Which firmware speaks: each word of it with the source that it was read from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.line.profiles import (
    GRBL,
    GRBL09,
    GRBLHAL,
    MARLIN,
    REPRAP,
    SMOOTHIE,
    Profile,
    StopAction,
)
from usbshare.line.recognition import LONGEST_LINE_BYTES, Recogniser
from usbshare.serial_svc.line.port_config import LinkLossPolicy
from usbshare.serial_svc.stop.link_loss import action_of, policy_of

# (what it says, the profile, where that is written)
SAID = [
    (b"Grbl 1.1h ['$' for help]", GRBL, "gnea/grbl grbl/report.c report_init_message"),
    (b"Grbl 1.1f ['$' for help]", GRBL, "gnea/grbl, 1.1f"),
    (b"[VER:1.1h.20190825:]", GRBL, "gnea/grbl grbl/report.c report_build_info"),
    (b"Grbl 1.3a ['$' for help]", GRBL, "bdring/Grbl_Esp32 src/Report.cpp report_init_message"),
    (b"Grbl 3.0 [FluidNC v3.0.1 '$' for help]", GRBL, "bdring/FluidNC src/Report.cpp"),
    (b"Grbl 3.9 [FluidNC v3.9.1 (wifi) '$' for help]", GRBL, "bdring/FluidNC, start/message"),
    (b"[MSG:INFO: FluidNC v3.7.8 https://github.com/bdring/FluidNC]", GRBL, "FluidNC src/Main.cpp"),
    (b"[VER:3.9 FluidNC v3.9.1:]", GRBL, "bdring/FluidNC src/Report.cpp report_build_info"),
    (b"Grbl 1.8 [uCNC v1.8.8 '$' for help]", GRBL, "Paciente8159/uCNC; senders match it so"),
    (b"GrblHAL 1.1f ['$' or '$HELP' for help]", GRBLHAL, "grblHAL/core report.c"),
    (b"[FIRMWARE:grblHAL]", GRBLHAL, "grblHAL/core report.c, $I"),
    (b"Grbl 0.9j ['$' for help]", GRBL09, "grbl/grbl grbl/report.c, 0.9j"),
    (b"Grbl 0.8c ['$' for help]", GRBL09, "grbl/grbl report.c, 0.8c"),
    (b"echo:Marlin bugfix-2.1.x", MARLIN, "MarlinFirmware/Marlin src/MarlinCore.cpp"),
    (b"echo:Marlin Ender-3 V2", MARLIN, "Marlin SHORT_BUILD_VERSION of vendors, Version.h"),
    (b"echo:Marlin 1.1.9", MARLIN, "MarlinFirmware/Marlin Marlin_main.cpp, 1.1.x"),
    (b"echo: Marlin 2.0.7", MARLIN, "the same with SERIAL_ECHOPGM of a vendor"),
    (b"Marlin 1.0.2", MARLIN, "MarlinFirmware/Marlin, 1.0.x"),
    (
        b"FIRMWARE_NAME:Marlin 2.1.2 (Github) SOURCE_CODE_URL:x",
        MARLIN,
        "Marlin M115.cpp",
    ),
    (
        b"FIRMWARE_NAME:Prusa-Firmware 3.14.1+8237 based on Marlin FIRMWARE_URL:x",
        REPRAP,
        "prusa3d/Prusa-Firmware Firmware/Marlin_main.cpp, M115",
    ),
    (
        b"FIRMWARE_NAME:Prusa-Firmware-Buddy 6.5.3 (Github) S:x",
        REPRAP,
        "Prusa-Firmware-Buddy",
    ),
    (b"FIRMWARE_NAME: RepRapFirmware for Duet 3 MB6HC V:3", REPRAP, "Duet3D/RepRapFirmware, M115"),
    (b"ok FIRMWARE_VERSION:v0.12.0 FIRMWARE_NAME:Klipper", REPRAP, "Klipper gcode.py"),
    (b"// Klipper state: Ready", REPRAP, "Klipper klippy/gcode.py"),
    (b"FIRMWARE_NAME:Repetier_1.0.4 COMPILED:x", REPRAP, "repetier/Repetier-Firmware, M115"),
    (b"FIRMWARE_NAME:Smoothieware, FIRMWARE_URL:x", SMOOTHIE, "Smoothieware GcodeDispatch.cpp"),
    (b"Smoothie", SMOOTHIE, "Smoothieware libs/USBDevice/USBSerial (on attach)"),
    (b"Smoothie Running @120MHz", SMOOTHIE, "Smoothieware src/main.cpp"),
    (b"Smoothie command shell", SMOOTHIE, "Smoothieware Telnetd and shell"),
    (
        b"Build version: edge-94de12c, Build date: Oct 28 2014, MCU: LPC1769, System Clock: 120MHz",
        SMOOTHIE,
        "Smoothieware SimpleShell.cpp version_command",
    ),
    *(
        (b"<%b|MPos:0.000,0.000,0.000|FS:0,0>" % state, GRBL, "gnea/grbl report_realtime_status")
        for state in (
            *(b"Idle", b"Run", b"Hold:0", b"Hold:1", b"Jog", b"Alarm", b"Check", b"Home", b"Sleep"),
            *(b"Door:0", b"Door:1", b"Door:2", b"Door:3"),
        )
    ),
    (b"<Idle|WPos:0.000,0.000,0.000|Bf:15,128|FS:0,0|WCO:0,0,0>", GRBL, "gnea/grbl, $10=2"),
    (b"<Critical|MPos:0.000,0.000,0.000|FS:0,0>", GRBL, "bdring/FluidNC src/State.cpp"),
    (b"<Alarm:11|MPos:0.000,0.000,0.000|FS:0,0>", GRBL, "grblHAL/core report.c, alarm substate"),
    (b"<Tool|MPos:0.000,0.000,0.000|FS:0,0>", GRBLHAL, "grblHAL/core report.c STATE_TOOL_CHANGE"),
    (b"<Idle,MPos:0.000,0.000,0.000,WPos:0.000,0.000,0.000>", GRBL09, "grbl/grbl 0.9, report.c"),
    (b"<Queue,MPos:0.000,0.000,0.000>", GRBL09, "grbl/grbl 0.8c, report.c"),
    (b"<Idle|MPos:0.0000,0.0000|WPos:0.0000,0.0000|F:0.0>", SMOOTHIE, "Smoothieware Kernel.cpp"),
]


def last_of(recogniser: Recogniser, pieces: list[bytes]) -> Profile | None:
    last = None
    for piece in pieces:
        last = recogniser.feed(piece) or last
    return last


@pytest.mark.parametrize(("said", "profile", "source"), SAID, ids=lambda each: repr(each)[:40])
def test_each_firmware_is_recognised_by_what_it_says(
    said: bytes, profile: Profile, source: str
) -> None:
    assert source
    assert Recogniser().feed(b"\r\n" + said + b"\r\n") is profile


@given(data=st.data(), said=st.sampled_from(SAID))
def test_firmware_is_recognised_in_any_split_and_as_no_other(
    data: st.DataObject, said: tuple[bytes, Profile, str]
) -> None:
    line = b"start\r\n" + said[0] + b"\r\nok\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(line)), max_size=6)))
    pieces = [line[a:b] for a, b in zip([0, *cuts], [*cuts, len(line)], strict=True)]
    recogniser = Recogniser()
    found = {each.name for piece in pieces if (each := recogniser.feed(piece))}
    assert found == {said[1].name}


@given(
    noise=st.binary(max_size=600).filter(lambda data: not data[-1:].isalnum() and b"<" not in data),
    said=st.sampled_from([each for each in SAID if each[0][:1].isalpha()]),
)
def test_garbage_before_a_banner_hides_it_no_longer_than_a_line(
    noise: bytes, said: tuple[bytes, Profile, str]
) -> None:
    recogniser = Recogniser()
    if recogniser.feed(noise) is None:
        assert recogniser.feed(b"\r\n" + said[0] + b"\r\n") is said[1]


@pytest.mark.parametrize("noise", [b"\x00\xff\xfe", b"\x80\x80", b"...", b"\xf0 "])
def test_garbage_right_before_a_banner_does_not_hide_it(noise: bytes) -> None:
    assert Recogniser().feed(noise + b"Grbl 1.1h ['$' for help]\r\n") is GRBL
    assert Recogniser().feed(noise + b"GrblHAL 1.1f ['$' for help]\r\n") is GRBLHAL


@pytest.mark.parametrize("said", [each[0] for each in SAID])
def test_a_device_that_sends_back_what_a_program_writes_says_nothing_of_itself(said: bytes) -> None:
    recogniser = Recogniser()
    recogniser.wrote(b"\x00\x01" + said + b"\r\n")
    assert recogniser.feed(b"\x00\x01" + said + b"\r\n") is None
    assert recogniser.is_unknown


def test_an_identity_counts_more_than_a_report_and_a_report_never_undoes_it() -> None:
    recogniser = Recogniser()
    assert recogniser.feed(b"<Idle|MPos:0,0,0|FS:0,0>\r\n") is GRBL
    assert recogniser.feed(b"[VER:1.1f.20250225:]\r\n[FIRMWARE:grblHAL]\r\n") is GRBLHAL
    assert recogniser.feed(b"<Idle,MPos:0,0,0>\r\n<Idle|MPos:0,0,0>\r\n") is None
    # Built for compatibility it greets as grbl does after each reset.
    assert recogniser.feed(b"Grbl 1.1f ['$' for help]\r\n") is GRBLHAL
    assert recogniser.feed(b"echo:Marlin 2.1\r\n") is MARLIN


@given(st.binary(max_size=2000))
def test_noise_is_never_taken_for_a_firmware_unless_it_says_so(noise: bytes) -> None:
    quiet = noise
    for word in (b"rbl", b"arlin", b"<", b"FIRMWARE", b"moothie", b"VER", b"lipper", b"luid"):
        quiet = quiet.replace(word, b"")
    assert Recogniser().feed(quiet) is None


def test_a_line_without_end_is_bounded() -> None:
    recogniser = Recogniser()
    for _ in range(100):
        assert recogniser.feed(b"x" * LONGEST_LINE_BYTES) is None
    assert recogniser.feed(b"\nGrbl 1.1h ['$' for help]\n") is GRBL


@pytest.mark.parametrize("profile", {each[1].name: each[1] for each in SAID}.values())
def test_every_firmware_has_its_stops_and_a_lost_link_stops_it(profile: Profile) -> None:
    for action in (StopAction.HOLD, StopAction.SAFETY_DOOR, StopAction.EMERGENCY_STOP):
        assert profile.stop_plan(action).data
    policy = policy_of(None, profile)
    assert policy is LinkLossPolicy.DOOR
    door = action_of(policy)
    assert door is StopAction.SAFETY_DOOR
