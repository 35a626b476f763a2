"""Which camera service a target means."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from usbshare.bridge.commands.camera_target import camera_id_or_default, camera_target
from usbshare.bridge.commands.options import connection_options, remember_group_options
from usbshare.bridge.commands.saved_choices import note_camera
from usbshare.bridge.defaults import Defaults
from usbshare.bridge.state import LastUsed, bridge_state
from usbshare.rpc.channel import Target


@click.group()
@connection_options
@click.option("--config", type=click.Path(path_type=Path))
@click.pass_context
def group(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    config: Path | None,
) -> None:
    """Stand in for `bridge`."""
    remember_group_options(context, config, target, bundle, insecure)


@group.command()
@connection_options
@click.option("--camera", default="")
@click.pass_context
def where(
    context: click.Context, target: str | None, bundle: Path | None, insecure: bool, camera: str
) -> None:
    """Print what is meant."""
    found, _ = camera_target(context, target, bundle, insecure)
    click.echo(f"{found} {camera_id_or_default(context, camera, found)}".strip())


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("USBSHARE_TARGET", "USBSHARE_BUNDLE", "USBSHARE_INSECURE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "usbshare.toml"


def ask(config: Path, content: str, *arguments: str) -> Result:
    config.write_text(content)
    return CliRunner().invoke(group, ["--config", str(config), *arguments])


def asked(config: Path, content: str, *arguments: str) -> str:
    result = ask(config, content, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("192.168.1.20", "192.168.1.20:50052"),
        ("192.168.1.20:50051", "192.168.1.20:50051"),
        ("192.168.1.20:9000", "192.168.1.20:9000"),
        ("[::1]:9000", "[::1]:9000"),
        ("::1", "[::1]:50052"),
    ],
)
def test_a_port_counts_when_it_is_said(config: Path, text: str, meant: str) -> None:
    assert asked(config, "", "where", "--insecure", "--target", text) == meant


def test_the_groups_target_counts_too(config: Path) -> None:
    assert asked(config, "", "--target", "10.0.0.1:9", "where", "--insecure") == "10.0.0.1:9"


def test_a_configured_target_is_the_serial_services(config: Path) -> None:
    content = '[bridge]\ntarget = "10.0.0.1:50051"\ncamera = "lid"\n'
    assert asked(config, content, "where", "--insecure") == "10.0.0.1:50052 lid"


def test_a_configured_host_says_its_cameras_port(config: Path) -> None:
    content = '[hosts."CO2 laser"]\naddress = "10.0.0.7"\ncamera = 7000\n'
    arguments = ("where", "--insecure", "--target", "co2 LASER")
    assert asked(config, content, *arguments) == "10.0.0.7:7000"
    content = '[hosts."CO2 laser"]\naddress = "10.0.0.7"\n'
    assert asked(config, content, *arguments) == "10.0.0.7:50052"


def test_the_camera_that_is_said_goes_before_the_configured_one(config: Path) -> None:
    content = '[bridge]\ntarget = "10.0.0.1"\ncamera = "lid"\n'
    said = ("where", "--insecure", "--camera", "side")
    assert asked(config, content, *said) == "10.0.0.1:50052 side"


def test_without_any_target_that_is_what_is_missing(config: Path) -> None:
    result = ask(config, "", "where", "--insecure")
    assert result.exit_code == 2
    assert "--target" in result.output


def test_the_camera_last_shown_is_shown_again_on_its_own_host(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USBSHARE_HOME", str(tmp_path / "home"))
    told: list[str] = []
    state, defaults = bridge_state(told.append), Defaults(None, told.append)
    state.save(LastUsed(target="10.0.0.1:50051", port="laser", vcom="COM10"))
    note_camera(defaults, Target("10.0.0.1", 50052), told.append)("lid")
    note_camera(defaults, Target("10.0.0.2", 50052), told.append)("another host's")
    assert state.load() == LastUsed("10.0.0.1:50051", port="laser", vcom="COM10", camera="lid")
    assert asked(config, "", "where", "--insecure").endswith("10.0.0.1:50052 lid")
    other = asked(config, "", "where", "--insecure", "--target", "10.0.0.2")
    assert other == "10.0.0.2:50052"
    assert not told
