"""What bad input gets: one clear line, an exit code that is not 0, and nothing left behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.certificates import issue, write_bundle
from fakes.processes import (
    Process,
    environment,
    run,
    running,
    serial_service,
)

ISSUED = tuple[int, str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def target(home: Path) -> Iterator[str]:
    config = home / "ports.toml"
    config.write_text(
        '[ports.laser]\nsource = "sim://grbl"\n'
        '[ports.gone]\nsource = "/dev/serial/by-id/usb-nobody"\n'
        '[ports.absent]\nsource = "usb:1a86:7523"\n'
    )
    with serial_service(home, "--config", str(config)) as (_, target):
        yield target


def fails(home: Path, *arguments: str) -> ISSUED:
    """Run a bridge that must fail with lines of its own only; returns exit code and output."""
    code, output = run(["bridge", *arguments], home)
    assert code != 0, output
    assert "Traceback" not in output
    assert not list((home / "run").rglob("COM*")), "a name was left behind"
    return code, output


def bridge_to(target: str, port: str = "laser") -> list[str]:
    return ["--target", target, "--vcom", "COM10", "--port", port]


def test_an_unknown_port_is_reported_with_the_known_ones(home: Path, target: str) -> None:
    _, output = fails(home, *bridge_to(target, "lathe"))
    assert "waiting 4 s in case it was plugged in just now" in output
    assert output.endswith("bridge: no port 'lathe' here; available: absent, gone, laser")


def test_a_missing_port_is_reported_where_the_host_has_several(home: Path, target: str) -> None:
    _, output = fails(home, "--target", target, "--vcom", "COM10")
    assert "the host has several ports; name one (port_id, --port): absent, gone, laser" in output


def test_a_device_that_is_not_there_is_named(home: Path, target: str) -> None:
    _, output = fails(home, *bridge_to(target, "gone"))
    assert "bridge: port 'gone': " in output
    assert "/dev/serial/by-id/usb-nobody" in output


def test_a_usb_device_that_is_not_plugged_in_is_named(home: Path, target: str) -> None:
    _, output = fails(home, *bridge_to(target, "absent"))
    assert "1a86:7523" in output


def test_a_name_that_does_not_resolve_is_reported(home: Path, target: str) -> None:
    _, output = fails(home, *bridge_to("nope.invalid:50051"))
    assert "nope.invalid" in output
    assert len(output.splitlines()) == 1


def test_a_port_where_nothing_listens_is_reported(home: Path, target: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    _, output = fails(home, *bridge_to(f"127.0.0.1:{free}"))
    assert f"127.0.0.1:{free}" in output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize("text", ["laser:abc", "laser:0", "http://laser", ""])
def test_an_invalid_target_is_bad_usage(home: Path, target: str, text: str) -> None:
    code, output = fails(home, *bridge_to(text))
    assert code == 2
    assert "--target" in output


def test_a_missing_target_is_bad_usage(tmp_path: Path) -> None:
    code, output = fails(tmp_path, "--vcom", "COM10")
    assert code == 2
    assert "--target" in output


def test_a_missing_certificate_says_which_file_to_copy(tmp_path: Path, target: str) -> None:
    _, output = fails(tmp_path, *bridge_to(target))
    assert "client.pem" in output
    assert len(output.splitlines()) == 1


def test_a_certificate_of_another_site_is_reported(tmp_path: Path, target: str) -> None:
    with serial_service(tmp_path):
        pass
    _, output = fails(tmp_path, *bridge_to(target))
    assert target in output
    assert "client.pem" in output
    assert len(output.splitlines()) == 1


def test_an_expired_certificate_is_reported_with_its_date(tmp_path: Path, target: str) -> None:
    authority = issue()
    client = issue(authority, name="operator", from_days=-10, to_days=-1)
    bundle = write_bundle(tmp_path / "old.pem", client, authority)
    _, output = fails(tmp_path, *bridge_to(target), "--bundle", str(bundle))
    assert "expired" in output
    assert len(output.splitlines()) == 1


def test_plaintext_to_a_tls_port_is_reported(home: Path, target: str) -> None:
    _, output = fails(home, *bridge_to(target), "--insecure")
    assert "TLS" in output.splitlines()[-1]


def test_a_path_that_is_not_ours_is_left_alone(home: Path, target: str, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    _, output = fails(home, "--target", target, "--port", "laser", "--vcom", str(precious))
    assert str(precious) in output
    assert precious.read_text() == "mine"


def test_two_bridges_may_not_offer_one_name(home: Path, target: str) -> None:
    with running(["bridge", *bridge_to(target)], home) as first:
        first.wait_for("ready: open")
        observer = ["bridge", *bridge_to(target), "--observe"]
        code, output = run(observer, home)
        assert code == 2
        assert "COM10" in output
        assert "Traceback" not in output
        assert (home / "run" / "usbshare" / "COM10").is_symlink()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[service]\nlisten_on = 'x'\n", "service.listen_on: no such key; accepted: listen,"),
        ("[ports.a]\nsource = 'x'\nprofile = 'lathe'\n", "ports.a.profile: 'lathe': "),
        ("[ports.a]\nsource = 'x'\nprofile = 'lathe'\n", "'grbl', 'grblhal', "),
        ("[ports.a]\nsource = 'x'\nbaud = 'fast'\n", "ports.a.baud: 'fast': "),
        ("[ports.a]\nsource = 'x'\nparity = 'strange'\n", "'none', 'even', 'odd'"),
        ("[ports.a]\nsource = 'sim://lathe'\n", "sim://grbl or sim://marlin"),
        ("[ports.'no spaces']\nsource = 'x'\n", "port id 'no spaces' may contain only a-z"),
        ("[queue]\nmax_commands = 0\n", "queue.max_commands: 0: "),
        ("[ports.a]\nprofile = 'raw'\n", "ports.a.source"),
        ("[ports.a\n", "bad.toml"),
        ("[service]\nlisten = 'here:there'\n", "service.listen: 'here:there': "),
        ("[service]\nmetrics = 'a b'\n", "service.metrics: 'a b': "),
        ("[tls]\nnames = ['a b']\n", "tls.names.0: 'a b': neither a DNS name nor"),
        ("[ports.a]\nsource = 'usb:zz'\n", "ports.a.source: 'usb:zz': "),
        ("[ports.a]\nsource = 'foo://x'\n", "scheme foo:// is not one of sim, usbip, socket"),
    ],
)
def test_a_bad_configuration_is_reported_by_file_key_and_accepted_values(
    tmp_path: Path, text: str, expected: str
) -> None:
    config = tmp_path / "bad.toml"
    config.write_text(text)
    code, output = run(["serial-svc", "--config", str(config)], tmp_path)
    assert code == 2
    assert expected in output
    assert "Traceback" not in output


def test_every_mistake_of_a_configuration_is_reported_at_once(tmp_path: Path) -> None:
    config = tmp_path / "bad.toml"
    config.write_text("[queue]\nmax_commands = 0\nmax_bites = 1\n[ports.a]\nbaud = 1.5\n")
    code, output = run(["serial-svc", "--check-config", "--config", str(config)], tmp_path)
    assert code == 2
    assert len(output.splitlines()) == 4


def test_a_configuration_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    code, output = run(["serial-svc", "--config", str(tmp_path / "nope.toml")], tmp_path)
    assert code == 2
    assert "nope.toml does not exist" in output


def test_a_good_configuration_is_checked_and_dumped(tmp_path: Path) -> None:
    config = tmp_path / "good.toml"
    config.write_text('[ports.a]\nsource = "sim://grbl"\nprofile = "grbl"\n')
    code, output = run(["serial-svc", "--check-config", "--config", str(config)], tmp_path)
    assert (code, output) == (0, f"{config}: correct")
    code, output = run(["serial-svc", "--dump-config", "--config", str(config)], tmp_path)
    assert code == 0
    again = tmp_path / "again.toml"
    again.write_text(output)
    code, output_again = run(["serial-svc", "--dump-config", "--config", str(again)], tmp_path)
    assert (code, output_again) == (0, output)


def test_an_address_in_use_is_reported(home: Path, target: str) -> None:
    code, output = run(["serial-svc", "--listen", target], home)
    assert code == 2
    assert "already in use" in output
    assert "Traceback" not in output


def test_plaintext_is_for_loopback_only(tmp_path: Path) -> None:
    code, output = run(["serial-svc", "--listen", "0.0.0.0:0", "--insecure"], tmp_path)
    assert code == 2
    assert "without TLS" in output


def test_a_killed_bridge_does_not_block_its_name(home: Path, target: str) -> None:
    bridge = Process(["bridge", *bridge_to(target)], environment(home))
    bridge.wait_for("ready: open")
    bridge.process.kill()
    bridge.wait()
    assert bridge.process.stdout is not None
    bridge.process.stdout.close()
    link = home / "run" / "usbshare" / "COM10"
    assert link.is_symlink()
    with running(["bridge", *bridge_to(target)], home) as again:
        again.wait_for("ready: open")
        assert os.path.exists(link)
    assert not link.is_symlink()
