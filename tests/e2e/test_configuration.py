"""Settings as a user meets them: found, checked, saved, remembered, imported; real processes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.processes import SCRIPTS, SEND, Process, environment, run, running, serial_service

STATE = Path(".local/state/usbshare/bridge.json")
TWO_PORTS = '[ports.laser]\nsource = "sim://grbl"\n[ports.mill]\nsource = "sim://grbl"\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def target(home: Path) -> Iterator[str]:
    (home / "two.toml").write_text(TWO_PORTS)
    with serial_service(home, "--config", str(home / "two.toml")) as (_, target):
        yield target


def configured(home: Path, text: str) -> Path:
    path = home / "config" / "usbshare" / "usbshare.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def once(home: Path, *arguments: str) -> str:
    """Run a bridge until it stands; returns what it said."""
    with running(["bridge", *arguments], home) as bridge:
        bridge.wait_for("ready: open")
        assert bridge.stop() == 0
    return bridge.output


def test_a_bare_bridge_does_what_it_did_last(home: Path, target: str) -> None:
    once(home, "--target", target, "--port", "mill", "--vcom", "COM10")
    assert json.loads((home / STATE).read_text()) == {
        "target": target,
        "name": "",
        "origin": "",
        "tls_name": "",
        "port": "mill",
        "vcom": "COM10",
        "usb_port": "",
        "tcp": "",
        "rfc2217": "",
        "camera": "",
    }
    with running(["bridge"], home) as bridge:
        bridge.wait_for(r"ready: open .*/COM10")
        _, listed = run(["bridge", "list", "--target", target, "--json"], home)
        holders = {port["id"]: port["holder"] for port in json.loads(listed)}
        assert holders["mill"]
        assert not holders["laser"]
    assert f"bridge: as last time: --target {target}" in bridge.output
    assert "bridge: as last time: --port mill" in bridge.output
    assert "bridge: as last time: --vcom COM10" in bridge.output


def test_an_observer_is_not_remembered(home: Path, target: str) -> None:
    observer = ["bridge", "--target", target, "--port", "mill", "--vcom", "COM10", "--observe"]
    with running(observer, home) as bridge:
        bridge.wait_for("observing: open")
    assert not (home / STATE).exists()


def test_a_bridge_that_never_connected_is_not_remembered(home: Path, target: str) -> None:
    code, _ = run(["bridge", "--target", target, "--port", "no", "--vcom", "COM10"], home)
    assert code == 1
    assert not (home / STATE).exists()


def test_the_order_is_command_line_environment_configuration_last_use(
    home: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once(home, "--target", target, "--port", "mill", "--vcom", "LAST")
    assert "/LAST" in once(home)
    configured(home, '[bridge]\nvcom = "CONFIGURED"\n')
    assert "/CONFIGURED" in once(home)
    monkeypatch.setenv("USBSHARE_VCOM", "ENVIRONMENT")
    assert "/ENVIRONMENT" in once(home)
    assert "/LINE" in once(home, "--vcom", "LINE")
    assert "tcp://127.0.0.1" in once(home, "--tcp", "127.0.0.1:0")


def test_save_writes_what_the_command_line_says_and_keeps_comments(home: Path, target: str) -> None:
    path = configured(home, '# mine\n[bridge]\nvcom = "COM1"  # the old one\n\n# end\n[hosts]\n')
    output = once(home, "--target", target, "--port", "mill", "--tcp", "127.0.0.1:0", "--save")
    assert f"bridge: saved in {path}: target, port, tcp" in output
    assert path.read_text() == (
        f'# mine\n[bridge]\ntarget = "{target}"\nport = "mill"\ntcp = "127.0.0.1:0"\n'
        "\n# end\n[hosts]\n"
    )
    (home / STATE).unlink()
    assert "tcp://127.0.0.1" in once(home)


def test_a_mistyped_target_is_not_saved(home: Path) -> None:
    code, _ = run(["bridge", "--target", "a:b", "--vcom", "COM1", "--save"], home)
    assert code == 2
    assert not (home / "config" / "usbshare" / "usbshare.toml").exists()


def test_send_and_stop_go_where_the_last_bridge_was(home: Path, target: str) -> None:
    once(home, "--target", target, "--port", "mill", "--vcom", "COM10")
    code, output = run(["bridge", *SEND, "$I"], home)
    assert code == 0
    assert f"as last time: --target {target}" in output
    assert "[VER:1.1h" in output
    code, output = run(["bridge", "stop"], home)
    assert code == 0
    assert "emergency stop on port 'mill': sent 0x18" in output
    code, output = run(["bridge", "stop", "--rearm", "--port", "laser"], home)
    assert code == 0
    assert "port 'laser' is not latched" in output
    code, output = run(["bridge", "stop", "--rearm"], home)
    assert "port 'mill' accepts programs again" in output


def test_a_stop_on_the_only_port_ignores_the_id_it_had(home: Path, target: str) -> None:
    once(home, "--target", target, "--port", "mill", "--vcom", "COM10")
    state = home / STATE
    with serial_service(home) as (_, other):
        state.write_text(json.dumps({**json.loads(state.read_text()), "target": other}))
        code, output = run(["bridge", "stop", "--target", other], home)
    assert code == 0
    assert "emergency stop on port 'demo'" in output


def test_a_stop_works_in_spite_of_a_wrong_configuration(home: Path, target: str) -> None:
    configured(home, "[bridge]\nnonsense = 1\n")
    code, output = run(["bridge", "stop", "--target", target, "--port", "mill"], home)
    assert code == 0, output
    code, output = run(["bridge", "--target", target, "--vcom", "COM10"], home)
    assert code == 2
    assert "bridge.nonsense: no such key; accepted: buffered, bundle, " in output


def test_damaged_state_is_kept_aside_and_the_bridge_continues(home: Path, target: str) -> None:
    state = home / STATE
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text('{"target": "10.0.')
    output = once(home, "--target", target, "--port", "mill", "--vcom", "COM10")
    assert "is damaged" in output
    aside = state.with_name("bridge.json.damaged-1")
    assert aside.read_text() == '{"target": "10.0.'
    assert json.loads(state.read_text())["target"] == target
    assert "is damaged" not in once(home)


FULL_DISK = """
set -e
mount -t tmpfs -o size=64k,mode=700 none "$1"
cp "$2" "$1/bridge.json"
dd if=/dev/zero of="$1/filler" bs=4k 2>/dev/null || true
shift 2
exec "$@"
"""


def can_mount() -> bool:
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_mount(), reason="needs root, and unshare of util-linux")
def test_a_full_disk_is_one_warning_and_keeps_what_was_known(home: Path, target: str) -> None:
    state, known = home / STATE, home / "known.json"
    state.parent.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps({"target": target, "port": "mill", "vcom": "COM10"}))
    unshare = shutil.which("unshare") or ""
    with_full_disk = [unshare, "--mount", "sh", "-c", FULL_DISK, "sh", str(state.parent)]
    with running([*with_full_disk, str(known), str(SCRIPTS / "bridge")], home) as bridge:
        bridge.wait_for("ready: open")
        bridge.wait_for(r"cannot remember .*/bridge\.json: No space left on device")
        its_disk = Path(f"/proc/{bridge.process.pid}/root{state.parent}")
        assert (its_disk / "bridge.json").read_text() == known.read_text()
        assert sorted(path.name for path in its_disk.iterdir()) == ["bridge.json", "filler"]
        assert bridge.stop() == 0
    assert bridge.output.count("No space left") == 1


def test_check_and_dump_show_the_settings_in_force(home: Path) -> None:
    assert run(["bridge", "--check-config"], home) == (0, "no configuration file: correct")
    path = configured(home, '[bridge]\ntarget = "laser"\nvcom = "COM1"\n[service]\nlisten = 5\n')
    assert run(["bridge", "--check-config"], home) == (0, f"{path}: correct")
    code, output = run(["bridge", "--dump-config", "--tcp", "127.0.0.1:23"], home)
    assert code == 0
    assert '[bridge]\ntarget = "laser"\ntcp = "127.0.0.1:23"\nremember = true\n' in output


def test_every_mistake_is_reported_at_once(home: Path) -> None:
    path = configured(home, '[bridge]\nport = 5\n[discovery]\nmdns = "x"\n[hosts.a]\n[zoo]\n')
    code, output = run(["bridge", "--check-config"], home)
    assert code == 2
    wrong = [line.removeprefix(f"bridge: {path}: ").split(":")[0] for line in output.splitlines()]
    assert sorted(wrong) == ["bridge.port", "discovery.mdns", "hosts.a.address", "zoo"]


def test_the_file_is_found_in_this_order(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (folder := tmp_path / "here").mkdir()
    monkeypatch.chdir(folder)
    files = {"asked": home / "asked.toml", "environment": home / "environment.toml"}
    for path in files.values():
        path.write_text("")

    def in_force(*arguments: str, config: str = "") -> str:
        process = Process(
            ["bridge", *arguments, "--check-config"],
            {**environment(home), "USBSHARE_CONFIG": config},
        )
        process.wait()
        process.stop()
        return process.output.removesuffix(": correct")

    users = configured(home, "")
    assert in_force() == str(users)
    (folder / "usbshare.toml").write_text("")
    assert in_force() == "usbshare.toml"
    environments = str(files["environment"])
    assert in_force(config=environments) == environments
    assert in_force("--config", str(files["asked"]), config=environments) == str(files["asked"])
    assert (
        in_force("--config", "gone.toml") == "bridge: configuration file gone.toml does not exist"
    )


def test_a_target_may_be_a_configured_host(home: Path, target: str) -> None:
    port = target.rpartition(":")[2]
    configured(home, f'[hosts.Upstairs]\naddress = "127.0.0.1"\nserial = {port}\n')
    once(home, "--target", "upstairs", "--port", "mill", "--vcom", "COM10")
    state = json.loads((home / STATE).read_text())
    assert (state["name"].casefold(), state["target"]) == ("upstairs", target)
    assert "as last time: --target" in once(home)


def test_the_older_tools_settings_are_imported_once(home: Path, target: str) -> None:
    host, _, port = target.rpartition(":")
    older = home / "config" / "USBNetworkShare" / "client_config.json"
    older.parent.mkdir(parents=True)
    older.write_text(
        json.dumps({"server_ip": host, "server_port": int(port), "virtual_com_port": "COM10"})
    )
    output = once(home, "--port", "mill")
    assert f'{older}: server_ip, server_port: [bridge] target = "{target}"' in output
    assert f'{older}: virtual_com_port: [bridge] vcom = "COM10"' in output
    assert str(older) not in once(home)


def test_a_service_imports_the_older_tools_settings_once(home: Path) -> None:
    older = home / "config" / "usb_network_share" / "server_config.json"
    older.parent.mkdir(parents=True)
    older.write_text(json.dumps({"server_name": "Laser", "use_tls": False}))
    with serial_service(home) as (service, _):
        service.wait_for(r"server_name: \[discovery\] name = \"Laser\"")
        service.wait_for("use_tls: not imported: plaintext is no longer supported")
    with serial_service(home) as (service, _):
        assert str(older) not in service.output
