"""The `devices` commands: what they print, and what they write into the policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from usbshare.authorization.devices import PluggedIn
from usbshare.authorization.policy import load_policy
from usbshare.base.errors import ConfigError, InvalidArgumentError, NotFoundError
from usbshare.base.paths import HOME_VARIABLE
from usbshare.line.usb.device import UsbDevice
from usbshare.service.commands.devices import devices_group

LASER = UsbDevice(0x1A86, 0x7523, "X1", "1-1.2")
NAMELESS = UsbDevice(0x1A86, 0x7523, "", "1-1.3")
PLUGGED_IN = [
    PluggedIn(LASER, "/dev/ttyUSB0", "USB Serial"),
    PluggedIn(NAMELESS, "/dev/ttyUSB1", "USB\x1b[2JSerial"),
]
LISTED = '# ours\ndevices = "listed" # not any\n'


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    path = tmp_path / "policy.toml"
    path.write_text(LISTED)
    return path


def run(*arguments: str) -> Result:
    group = devices_group("serial-svc", lambda: PLUGGED_IN)
    return CliRunner().invoke(group, list(arguments))


def test_plugged_in_devices_are_listed_with_their_treatment(policy: Path) -> None:
    policy.write_text(
        LISTED + '[[allowed_devices]]\nserial = "X1"\n[[allowed_devices]]\nvid="0403"'
    )
    assert run().stdout.splitlines() == [
        "/dev/ttyUSB0  1a86:7523, serial number X1, in socket 1-1.2  USB Serial: allowed",
        "/dev/ttyUSB1  1a86:7523, in socket 1-1.3  USB?[2JSerial: quarantined; "
        "`serial-svc devices allow 1a86:7523@1-1.3` allows it",
        "0403  on the list, not plugged in",
    ]


def test_the_list_is_there_as_json(policy: Path) -> None:
    found = json.loads(run("--json").stdout)
    assert found["policy"] == "listed"
    assert found["devices"][0] == {
        "node": "/dev/ttyUSB0",
        "name": "USB Serial",
        "vid": "1a86",
        "pid": "7523",
        "serial": "X1",
        "path": "1-1.2",
        "socket": "",
        "allowed": False,
    }


def test_a_policy_that_allows_any_device_is_said_to_do_so(policy: Path) -> None:
    policy.unlink()
    done = run()
    assert done.stdout.count(": allowed") == 2
    assert 'devices = "any"' in done.stderr


@pytest.mark.parametrize(
    ("selector", "keys"),
    [
        ("1a86:7523", {"vid": "1a86", "pid": "7523"}),
        ("1a86:7523:A B@1-2", {"vid": "1a86", "pid": "7523", "serial": "A B", "path": "1-2"}),
        ("@1-2", {"path": "1-2"}),
        ("/dev/ttyUSB0", {"vid": "1a86", "pid": "7523", "serial": "X1"}),
        ("/dev/ttyUSB1", {"vid": "1a86", "pid": "7523", "path": "1-1.3"}),
    ],
)
def test_a_device_is_allowed_by_ids_or_node(
    policy: Path, selector: str, keys: dict[str, str]
) -> None:
    run("allow", selector, "--note", "laser")
    (entry,) = load_policy(policy).allowed_devices
    assert entry.model_dump(exclude_none=True) == {**keys, "note": "laser"}
    assert policy.read_text().startswith(LISTED)


def test_allowing_twice_changes_nothing(policy: Path) -> None:
    run("allow", "1a86:7523")
    before = policy.read_text()
    assert run("allow", "1A86:7523").stdout == "1a86:7523: was already allowed\n"
    assert policy.read_text() == before


def test_without_a_policy_the_default_one_is_written(policy: Path) -> None:
    policy.unlink()
    assert 'devices = "any"' in run("allow", "1a86:7523").stderr
    written = load_policy(policy)
    assert written.groups["admins"] == ["operator"]
    assert len(written.allowed_devices) == 1
    assert policy.stat().st_mode & 0o077 == 0


def test_a_device_is_taken_off_the_list_by_its_entry(policy: Path) -> None:
    for selector in ("1a86:7523", "1a86:7523:X1"):
        run("allow", selector)
    assert run("deny", "1a86:7523").stdout == "1a86:7523: no longer allowed\n"
    assert [entry.serial for entry in load_policy(policy).allowed_devices] == ["X1"]


def test_a_node_takes_every_entry_that_means_its_device(policy: Path) -> None:
    for selector in ("1a86:7523", "1a86:7523:X1", "@1-1.2", "0403:6001"):
        run("allow", selector)
    run("deny", "/dev/ttyUSB0")
    assert [entry.vid for entry in load_policy(policy).allowed_devices] == ["0403"]


def test_a_list_that_is_empty_again_leaves_the_file_as_it_was(policy: Path) -> None:
    run("allow", "1a86:7523")
    run("deny", "1a86:7523")
    assert policy.read_text().strip() == LISTED.strip()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("deny", "1a86:7523"), NotFoundError, "not on the list"),
        (("deny", "/dev/ttyUSB7"), NotFoundError, "available: /dev/ttyUSB0, /dev/ttyUSB1"),
        (("allow", "laser"), InvalidArgumentError, "is not a device"),
    ],
)
def test_an_impossible_change_is_reported_and_changes_nothing(
    policy: Path, arguments: tuple[str, ...], error: type[Exception], says: str
) -> None:
    done = run(*arguments)
    assert isinstance(done.exception, error)
    assert says in str(done.exception)
    assert policy.read_text() == LISTED


@pytest.mark.parametrize("text", ["devices = [", 'devices = "some"\n', "nothing = 1\n"])
def test_a_policy_with_mistakes_is_left_alone(policy: Path, text: str) -> None:
    policy.write_text(text)
    assert isinstance(run("allow", "1a86:7523").exception, ConfigError)
    assert policy.read_text() == text


def test_a_list_written_on_one_line_is_changed_too(policy: Path) -> None:
    policy.write_text(LISTED + 'allowed_devices = [{vid = "0403"}]\n')
    run("allow", "1a86:7523")
    assert [each.vid for each in load_policy(policy).allowed_devices] == ["0403", "1a86"]
    run("deny", "1a86:7523")
    assert [each.vid for each in load_policy(policy).allowed_devices] == ["0403"]
