"""Which value counts: `[bridge]` of the configuration, then what was used last."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from usbshare.base.errors import ConfigError
from usbshare.bridge.commands.saved_choices import PortName, note_last, save_choice
from usbshare.bridge.defaults import Defaults, UrgentDefaults
from usbshare.bridge.settings import BridgeTable, Settings, load_settings
from usbshare.bridge.state import LastUsed, bridge_state
from usbshare.rpc.channel import Target

USED = LastUsed("192.0.2.1:50051", port="laser", vcom="COM10")
NAMED = LastUsed("192.0.2.1:50051", "Laser", "laser.local", "grbl", tcp="127.0.0.1:23")


class Computer:
    """A user's configuration and state, and what was warned of."""

    def __init__(self, home: Path) -> None:
        self.config = home / "usbshare.toml"
        self.warnings: list[str] = []

    def has(self, text: str = "", used: LastUsed | None = None) -> Defaults:
        if text:
            self.config.write_text(text)
        if used:
            bridge_state(self.warnings.append).save(used)
        return Defaults(None, self.warnings.append)

    def used(self) -> LastUsed:
        return bridge_state(self.warnings.append).load()


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Computer:
    monkeypatch.setenv("USBSHARE_HOME", str(tmp_path))
    monkeypatch.delenv("USBSHARE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return Computer(tmp_path)


def test_without_any_report_nothing_is_known(computer: Computer) -> None:
    nothing = computer.has()
    assert (nothing.target, nothing.virtual_port, nothing.bundle) == ("", None, None)
    assert nothing.configured_port("laser") == nothing.repeated_port("laser") == ""
    assert nothing.settings_if_any is None


def test_the_configuration_goes_before_the_last_use(computer: Computer) -> None:
    said = computer.has('[bridge]\ntarget = "lathe"\nrfc2217 = "127.0.0.1:2217"\n', USED)
    assert said.target == "lathe"
    assert not said.repeats_target
    assert said.virtual_port == ("rfc2217", "127.0.0.1:2217")


def test_values_missing_in_the_configuration_are_those_used_last(computer: Computer) -> None:
    repeated = computer.has('[bridge]\nvcom = "COM3"\n', USED)
    assert repeated.target == "192.0.2.1:50051"
    assert repeated.repeats_target
    assert repeated.repeated_port(repeated.target) == "laser"


def test_a_host_found_by_name_is_looked_for_by_name_again(computer: Computer) -> None:
    repeated = computer.has(used=NAMED)
    assert repeated.target == "Laser"
    assert repeated.last.virtual_port == ("tcp", "127.0.0.1:23")


def test_where_the_host_was_counts_only_if_its_certificate_can_prove_it(computer: Computer) -> None:
    assert computer.has(used=NAMED).last_host == Target("192.0.2.1", 50051, "laser.local")
    assert computer.has(used=USED).last_host is None


@pytest.mark.parametrize("target", ["192.0.2.1", "192.0.2.1:50051", "LASER", "Laser"])
def test_the_last_port_goes_with_its_host(computer: Computer, target: str) -> None:
    assert computer.has(used=NAMED).repeated_port(target) == "grbl"


@pytest.mark.parametrize("target", ["192.0.2.2", "192.0.2.1:50061", "Lathe"])
def test_the_last_port_goes_with_no_other_host(computer: Computer, target: str) -> None:
    assert computer.has(used=NAMED).repeated_port(target) == ""


def test_a_configured_port_is_of_the_configured_target(computer: Computer) -> None:
    said = computer.has('[bridge]\ntarget = "lathe"\nport = "a"\n', USED)
    assert said.configured_port("lathe:50051") == "a"
    assert said.configured_port("192.0.2.1") == ""
    assert said.repeated_port("192.0.2.1") == "laser"


def test_a_port_configured_without_a_target_is_of_any(computer: Computer) -> None:
    said = computer.has('[bridge]\nport = "a"\n', USED)
    assert said.configured_port("192.0.2.1") == "a"
    assert said.repeated_port("192.0.2.1") == ""


def test_with_remember_off_nothing_is_remembered(computer: Computer) -> None:
    forgetful = computer.has("[bridge]\nremember = false\n", USED)
    assert forgetful.target == ""
    note_last(forgetful, Target("a", 1), PortName("vcom", "COM1"), computer.warnings.append)("x")
    assert computer.used() == USED


def test_an_established_session_is_remembered(computer: Computer) -> None:
    target = Target("192.0.2.1", 50051, "laser.local", "Laser")
    note = note_last(computer.has(), target, PortName("vcom", "COM10"), computer.warnings.append)
    note("grbl")
    assert computer.used() == LastUsed(
        "192.0.2.1:50051", "Laser", "laser.local", "grbl", vcom="COM10"
    )


def test_another_kind_of_virtual_port_takes_the_place_of_the_last(computer: Computer) -> None:
    computer.has(used=USED)
    note = note_last(
        computer.has(), Target("a", 1), PortName("tcp", "[::1]:23"), computer.warnings.append
    )
    note("x")
    assert computer.used() == LastUsed("a:1", port="x", tcp="[::1]:23")


def test_a_relative_path_is_remembered_as_what_it_was(computer: Computer) -> None:
    note = note_last(
        computer.has(), Target("a", 1), PortName("vcom", "./laser"), computer.warnings.append
    )
    note("x")
    assert computer.used().vcom == str(Path.cwd() / "laser")


def test_saving_replaces_the_virtual_port_and_keeps_the_rest(computer: Computer) -> None:
    computer.has('[bridge]\n# mine\ntarget = "a"\nvcom = "COM1"\n')
    assert save_choice(computer.config, {"tcp": "127.0.0.1:23"}) == computer.config
    text = computer.config.read_text()
    assert "# mine\n" in text
    assert tomllib.loads(text) == {"bridge": {"target": "a", "tcp": "127.0.0.1:23"}}


def test_saving_makes_the_users_file_where_there_is_none(computer: Computer) -> None:
    assert save_choice(None, {"target": "a"}) == computer.config
    assert load_settings(computer.config).bridge.target == "a"


def test_options_take_precedence_over_the_table() -> None:
    table = BridgeTable(target="a", vcom="COM1", port="x")
    assert table.with_said({"tcp": "127.0.0.1:23", "target": "b"}) == BridgeTable(
        target="b", tcp="127.0.0.1:23", port="x"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('vcom = "COM1"\ntcp = "127.0.0.1:23"', "at most one of vcom, usb_port, tcp, rfc2217"),
        ('tcp = "0.0.0.0:23"', "use 127.0.0.1:23"),
        ('target = ""', "give printable text"),
        ('vcom = "\\u001b"', "give printable text"),
        ("port = 5", "bridge.port"),
    ],
)
def test_a_table_that_cannot_be_is_refused(computer: Computer, text: str, told: str) -> None:
    wrong = computer.has(f"[bridge]\n{text}\n")
    with pytest.raises(ConfigError) as raised:
        _ = wrong.target
    assert told in str(raised.value)
    assert str(computer.config.name) in str(raised.value)


def test_a_stop_takes_what_it_can_from_a_file_with_mistakes(computer: Computer) -> None:
    computer.has('[bridge]\ntarget = "laser"\nport = 5\nnonsense = 1\n[hosts.x]\n')
    urgent = UrgentDefaults(None, computer.warnings.append)
    assert urgent.target == "laser"
    assert urgent.configured_port("laser") == ""
    assert computer.warnings == []
    assert urgent.settings == Settings()
    assert all("continuing without it" in warning for warning in computer.warnings[-1:])


@pytest.mark.parametrize("text", ["[bridge", "bridge = 5\n"])
def test_a_stop_does_not_need_a_configuration(computer: Computer, text: str) -> None:
    computer.has(text, USED)
    assert UrgentDefaults(None, computer.warnings.append).target == USED.target


def test_a_stop_does_not_need_the_file_that_was_asked_for(computer: Computer) -> None:
    computer.has(used=USED)
    assert UrgentDefaults(Path("gone.toml"), computer.warnings.append).target == USED.target
    assert "gone.toml does not exist; continuing without it" in computer.warnings[0]


SLOW = {"pydantic", "tomlkit", "zeroconf", "ifaddr", "cv2"}


@pytest.mark.parametrize("words", [["stop"], ["job", "hold", "1"], ["job", "cancel", "1"]])
def test_a_stop_imports_nothing_slow_even_with_a_configuration(
    computer: Computer, words: list[str]
) -> None:
    computer.has('[bridge]\ntarget = "127.0.0.1:1"\n[hosts.a]\naddress = "127.0.0.1"\n', USED)
    script = (
        "import sys\nfrom usbshare.bridge.cli import cli\n"
        f"try: cli([*{words!r}, '--insecure'], standalone_mode=False)\n"
        "except Exception as error: print(error)\n"
        f"print(sorted({SLOW!r} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    said, imported = done.stdout.splitlines()
    assert "127.0.0.1:" in said
    assert imported == "[]"
