"""The older tool's settings: taken over once, with a line for each key, over nothing of ours."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.ordinary_user import CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, without_capability
from usbshare.base.config import load_config, write_config
from usbshare.base.legacy.import_settings import Side, import_older_settings
from usbshare.base.legacy.settings import client_settings, server_settings
from usbshare.bridge.settings import Settings as BridgeSettings
from usbshare.discovery_svc.settings import Settings as DiscoverySettings
from usbshare.serial_svc.settings import Settings as SerialSettings

CLIENT = {
    "server_ip": "192.168.1.20",
    "server_port": 50051,
    "virtual_com_port": "COM10",
    "auto_reconnect": True,
    "use_tls": False,
    "auto_discover": True,
    "last_server_name": "Laser-Workshop",
}
SERVER = {
    "server_name": "Laser-Workshop",
    "server_port": 50061,
    "use_tls": True,
    "enable_discovery": False,
    "last_serial_port": "COM3",
    "last_camera_index": 0,
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


class Computer:
    """A user's folders, with what the older tool left there, and what was told."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.told: list[str] = []
        self.settings = home / "config" / "usbshare" / "usbshare.toml"

    def older(self, side: Side, content: object, folder: str = "config/USBNetworkShare") -> Path:
        path = self.home / folder / side.value
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def import_(self, side: Side, asked: Path | None = None) -> dict[str, Any]:
        import_older_settings(side, asked, self.told.append)
        return tomllib.loads(self.settings.read_text()) if self.settings.exists() else {}

    def line(self, key: str) -> str:
        (line,) = (line for line in self.told if f": {key}: " in line)
        return line


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Computer:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("USBSHARE_HOME", "USBSHARE_CONFIG", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return Computer(tmp_path)


def test_the_client_keys_are_taken_over(computer: Computer) -> None:
    computer.older(Side.CLIENT, CLIENT)
    found = computer.import_(Side.CLIENT)
    assert found == {"bridge": {"target": "192.168.1.20:50051", "vcom": "COM10"}}
    load_config(computer.settings, BridgeSettings)


def test_the_server_keys_are_taken_over(computer: Computer) -> None:
    computer.older(Side.SERVER, SERVER)
    assert computer.import_(Side.SERVER) == {
        "discovery": {"name": "Laser-Workshop", "mdns": False, "beacon": False},
        "service": {"listen": "[::]:50061"},
        "ports": {"com3": {"source": "COM3"}},
    }
    load_config(computer.settings, SerialSettings)
    load_config(computer.settings, DiscoverySettings)


@pytest.mark.parametrize(("side", "keys"), [(Side.CLIENT, CLIENT), (Side.SERVER, SERVER)])
def test_every_key_gets_a_line(computer: Computer, side: Side, keys: dict[str, object]) -> None:
    path = computer.older(side, {**keys, "theme": "dark"})
    computer.import_(side)
    told = [line.removeprefix(f"{path}: ").split(": ")[0] for line in computer.told]
    assert {key for keys in told[:-1] for key in keys.split(", ")} == {*keys, "theme"}
    assert computer.told[-1].endswith("usbshare.toml; it will not be read again")


@pytest.mark.parametrize(
    ("side", "key", "why"),
    [
        (Side.CLIENT, "auto_reconnect", "no longer has a meaning: a bridge always reconnects"),
        (Side.CLIENT, "auto_discover", "no longer has a meaning: a target given by name"),
        (Side.CLIENT, "use_tls", "not imported: plaintext is no longer supported"),
        (Side.CLIENT, "last_server_name", "not imported: there is an address"),
        (Side.SERVER, "use_tls", "no longer has a meaning: every connection is encrypted"),
        (Side.SERVER, "last_camera_index", "no longer has a meaning: cameras are now identified"),
    ],
)
def test_a_key_without_a_meaning_says_why(
    computer: Computer, side: Side, key: str, why: str
) -> None:
    computer.older(side, CLIENT if side is Side.CLIENT else SERVER)
    computer.import_(side)
    assert why in computer.line(key)


def test_without_an_address_the_name_is_the_target(computer: Computer) -> None:
    computer.older(Side.CLIENT, {"server_ip": "", "last_server_name": "Laser-Workshop"})
    assert computer.import_(Side.CLIENT) == {"bridge": {"target": "Laser-Workshop"}}


def test_keys_already_in_the_configuration_stay(computer: Computer) -> None:
    write_config(computer.settings, {("bridge", "target"): "mine", ("bridge", "tcp"): "[::1]:23"})
    computer.older(Side.CLIENT, CLIENT)
    found = computer.import_(Side.CLIENT)
    assert found == {"bridge": {"target": "mine", "tcp": "[::1]:23"}}
    assert "already has [bridge] target" in computer.line("server_ip, server_port")
    assert "already has [bridge] tcp" in computer.line("virtual_com_port")


def test_configured_ports_get_no_other_one(computer: Computer) -> None:
    write_config(computer.settings, {("ports", "laser", "source"): "sim://grbl"})
    computer.older(Side.SERVER, SERVER)
    assert computer.import_(Side.SERVER)["ports"] == {"laser": {"source": "sim://grbl"}}


def test_the_import_happens_once(computer: Computer) -> None:
    computer.older(Side.CLIENT, CLIENT)
    computer.import_(Side.CLIENT)
    computer.settings.unlink()
    computer.told.clear()
    assert computer.import_(Side.CLIENT) == {}
    assert computer.told == []


def test_without_the_older_tool_nothing_is_made(computer: Computer) -> None:
    computer.import_(Side.CLIENT)
    assert sorted(path.name for path in computer.home.iterdir()) == ["elsewhere"]


@pytest.mark.parametrize(
    "folder", ["config/USBNetworkShare", "config/usb_network_share", ".usb_network_share"]
)
def test_each_of_its_folders_is_looked_into(computer: Computer, folder: str) -> None:
    computer.older(Side.CLIENT, CLIENT, folder)
    assert computer.import_(Side.CLIENT)["bridge"]["vcom"] == "COM10"


def test_the_roaming_folder_of_windows_is_looked_into(
    computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPDATA", str(computer.home / "Roaming"))
    computer.older(Side.CLIENT, CLIENT, "Roaming/USBNetworkShare")
    assert computer.import_(Side.CLIENT)["bridge"]["vcom"] == "COM10"


def test_a_home_that_may_not_be_entered_has_no_older_tool(
    computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under ProtectHome= of systemd, where all of /home is without modes."""
    computer.home.chmod(0)
    monkeypatch.setenv("APPDATA", str(computer.home / "roaming"))
    try:
        with without_capability(CAP_DAC_OVERRIDE), without_capability(CAP_DAC_READ_SEARCH):
            with pytest.raises(PermissionError):
                os.stat(computer.home / "roaming")
            import_older_settings(Side.SERVER, None, computer.told.append)
    finally:
        computer.home.chmod(0o700)
    assert computer.told == []


def test_while_another_file_is_in_force_it_waits(computer: Computer) -> None:
    computer.older(Side.CLIENT, CLIENT)
    other = computer.home / "other.toml"
    other.write_text("")
    assert computer.import_(Side.CLIENT, other) == {}
    assert computer.told == []
    assert computer.import_(Side.CLIENT) != {}


def test_a_separate_home_gets_nothing_from_the_users(
    computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    computer.older(Side.SERVER, SERVER)
    monkeypatch.setenv("USBSHARE_HOME", str(computer.home / "demo"))
    assert computer.import_(Side.SERVER) == {}
    assert not (computer.home / "demo").exists()
    assert computer.told == []


@pytest.mark.parametrize("content", ["", "{", "[1]", "[" * 30_000, '"' + "x" * 70_000 + '"'])
def test_a_damaged_file_is_one_line_once(computer: Computer, content: str) -> None:
    path = computer.older(Side.CLIENT, content)
    assert computer.import_(Side.CLIENT) == {}
    (line,) = computer.told
    assert line.startswith(f"{path} is damaged and not imported: ")
    computer.import_(Side.CLIENT)
    assert len(computer.told) == 1


def test_while_our_own_file_is_damaged_it_waits(computer: Computer) -> None:
    computer.settings.parent.mkdir(parents=True)
    computer.settings.write_text("[bridge")
    path = computer.older(Side.CLIENT, CLIENT)
    import_older_settings(Side.CLIENT, None, computer.told.append)
    assert computer.settings.read_text() == "[bridge"
    assert computer.told[0].startswith(f"{path} is not imported: ")
    computer.settings.unlink()
    assert computer.import_(Side.CLIENT)["bridge"]["vcom"] == "COM10"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("server_port", 0),
        ("server_port", "50051"),
        ("server_port", True),
        ("server_name", "\x1b[31m"),
        ("server_name", 5),
        ("enable_discovery", "yes"),
        ("last_serial_port", ""),
        ("last_serial_port", "/etc/../dev x"),
        ("last_serial_port", None),
    ],
)
def test_invalid_values_are_not_adopted(key: str, value: object) -> None:
    (taken,) = server_settings({key: value})
    assert taken.keys == (key,)
    assert taken.text.startswith("not imported: ")
    assert not taken.changes


@given(st.dictionaries(st.sampled_from([*CLIENT, *SERVER, "\x1b[2J"]), ANYTHING))
def test_settings_imported_from_any_files_are_valid_and_printable(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("config") / "usbshare.toml"
    taken = [*client_settings(found), *server_settings(found)]
    changes = {key: value for each in taken for key, value in each.changes.items()}
    write_config(path, changes)
    load_config(path, BridgeSettings)
    load_config(path, SerialSettings)
    load_config(path, DiscoverySettings)
    assert all(f"{each.keys} {each.text}".isprintable() for each in taken)
