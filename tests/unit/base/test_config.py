"""Configuration files: every mistake at once, and comments that survive when we write."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from usbshare.base.config import Table, dumps_config, load_config, read_config, write_config
from usbshare.base.errors import ConfigError
from usbshare.bridge.settings import Settings

KEPT = """\
# My workshop.
[service]  # the service
listen = "[::]:50051"  # everywhere

# What this PC does.
[bridge]
# The big one.
target = "old:50051"  # upstairs
vcom = "COM10"

# Without multicast:
[hosts.laser]
address = "192.0.2.1"
"""


class Inner(Table):
    size: int = Field(default=1, ge=1)


class Whole(Table):
    bridge: Inner = Field(default_factory=Inner)
    hosts: dict[str, Inner] = Field(default_factory=dict)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usbshare.toml"


def changed(path: Path, before: str, changes: dict[tuple[str, ...], Any]) -> str:
    path.write_text(before)
    write_config(path, changes)
    return path.read_text()


def test_every_mistake_is_reported_at_once_with_file_key_value_and_what_is_accepted(
    path: Path,
) -> None:
    path.write_text(
        '[bridge]\ntargett = "x"\ntcp = "0.0.0.0:23"\nremember = "perhaps"\n'
        '[discovery]\nlog_level = "loud"\nbeacon_ttl = 300\n'
        '[hosts.laser]\nserial = 70000\n[printer]\nname = "x"\n'
    )
    with pytest.raises(ConfigError) as raised:
        load_config(path, Settings)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    told = {line.split(": ")[1]: line for line in lines}
    assert told.keys() == {
        "bridge.targett",
        "bridge.tcp",
        "bridge.remember",
        "discovery.log_level",
        "discovery.beacon_ttl",
        "hosts.laser.address",
        "hosts.laser.serial",
        "printer",
    }
    assert (
        "accepted: buffered, bundle, camera, port, remember, rfc2217, target"
        in told["bridge.targett"]
    )
    assert "'0.0.0.0:23'" in told["bridge.tcp"]
    assert "'loud': " in told["discovery.log_level"]
    assert "'debug', 'info', 'warning' or 'error'" in told["discovery.log_level"]
    assert "300: " in told["discovery.beacon_ttl"]
    assert told["hosts.laser.address"].endswith(": missing, and required")
    accepted = (
        "accepted: audit, bridge, camera, cameras, discovery, files, hosts, job, jobs, limits"
    )
    assert accepted in told["printer"]


def test_tables_of_other_processes_are_passed_over(path: Path) -> None:
    path.write_text("[service]\nnonsense = 1\n[bridge]\nsize = 2\n")
    assert load_config(path, Whole).bridge.size == 2


@pytest.mark.parametrize("content", [b"a = [", b"\xff\xfe", b"[bridge]\nsize = 1\nsize = 2\n"])
def test_a_file_that_is_no_toml_is_one_error(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=str(path)):
        load_config(path, Whole)


def test_a_folder_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path)):
        load_config(tmp_path, Whole)


def test_a_dumped_configuration_can_be_read(path: Path) -> None:
    settings = Whole(bridge=Inner(size=3), hosts={"a b": Inner(size=4)})
    path.write_text(dumps_config(settings))
    assert load_config(path, Whole) == settings


def test_comments_and_order_survive_a_change(path: Path) -> None:
    after = changed(path, KEPT, {("bridge", "target"): "new:50051"})
    assert after == KEPT.replace("old:", "new:")


def test_a_new_key_stands_with_its_table_and_not_with_the_next_one(path: Path) -> None:
    after = changed(path, KEPT, {("bridge", "port"): "laser"})
    assert after == KEPT.replace('vcom = "COM10"\n', 'vcom = "COM10"\nport = "laser"\n')


def test_a_key_is_taken_away(path: Path) -> None:
    after = changed(path, KEPT, {("bridge", "vcom"): None, ("camera", "listen"): None})
    assert after == KEPT.replace('vcom = "COM10"\n', "")


def test_tables_are_made_where_they_are_missing(path: Path) -> None:
    after = changed(path, KEPT, {("ports", "a", "source"): "x", ("discovery", "name"): "Ünïx"})
    assert after.startswith(KEPT)
    found = tomllib.loads(after)
    assert found["ports"] == {"a": {"source": "x"}}
    assert found["discovery"] == {"name": "Ünïx"}


def test_a_table_with_nothing_but_comments_takes_a_key(path: Path) -> None:
    after = changed(path, "[bridge]\n#target = 1\n\n# next\n[hosts]\n", {("bridge", "port"): "a"})
    assert tomllib.loads(after) == {"bridge": {"port": "a"}, "hosts": {}}
    assert after.endswith("\n# next\n[hosts]\n")


def test_other_ways_to_write_tables_are_kept(path: Path) -> None:
    before = 'bridge = { target = "a" }  # short\nhosts.x.address = "b"\n'
    after = changed(path, before, {("bridge", "target"): "c", ("hosts", "y", "address"): "d"})
    assert tomllib.loads(after) == {
        "bridge": {"target": "c"},
        "hosts": {"x": {"address": "b"}, "y": {"address": "d"}},
    }
    assert "# short" in after


def test_a_file_is_made_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "usbshare.toml"
    write_config(path, {("bridge", "target"): "a"})
    assert tomllib.loads(path.read_text()) == {"bridge": {"target": "a"}}


def test_the_files_mode_and_a_link_to_it_stay(tmp_path: Path, path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text(KEPT)
    real.chmod(0o644)
    path.symlink_to(real)
    write_config(path, {("bridge", "port"): "a"})
    assert path.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o644
    assert 'port = "a"' in real.read_text()


@pytest.mark.parametrize("before", ["a = [", "bridge = 5\n"])
def test_a_file_that_cannot_be_changed_stays_as_it_was(path: Path, before: str) -> None:
    with pytest.raises(ConfigError, match=r"usbshare\.toml cannot be changed"):
        changed(path, before, {("bridge", "target"): "a"})
    assert path.read_text() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@settings(deadline=None)
@given(
    target=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    vcom=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
def test_any_text_that_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, target: str, vcom: str
) -> None:
    path = tmp_path_factory.mktemp("config") / "usbshare.toml"
    path.write_text(KEPT)
    write_config(path, {("bridge", "target"): target, ("bridge", "tcp"): vcom})
    found = tomllib.loads(path.read_text())
    assert found["bridge"] == {"target": target, "vcom": "COM10", "tcp": vcom}
    assert found["hosts"] == {"laser": {"address": "192.0.2.1"}}


BOM = "\ufeff"


def test_the_mark_that_windows_editors_put_first_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "usbshare.toml"
    path.write_text(f"{BOM}{KEPT}", encoding="utf-8")
    assert load_config(path, Settings).bridge.vcom == "COM10"
    write_config(path, {("bridge", "vcom"): "COM11"})
    assert load_config(path, Settings).bridge.vcom == "COM11"


def test_a_file_that_is_no_utf_8_is_reported_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "usbshare.toml"
    path.write_text(KEPT, encoding="utf-16")
    with pytest.raises(ConfigError, match=r"usbshare\.toml: .*: save it as UTF-8"):
        load_config(path, Settings)


def test_tables_without_end_are_a_mistake_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "usbshare.toml"
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        read_config(path)
    with pytest.raises(ConfigError, match="cannot be changed"):
        write_config(path, {("bridge", "target"): "x"})
