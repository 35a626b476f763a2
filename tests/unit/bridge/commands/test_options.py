"""What command line, environment, configuration and last use come to: where, and which port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from usbshare.base.errors import ConfigError, NotFoundError
from usbshare.bridge.commands.options import (
    connection,
    connection_options,
    port_or_default,
    remember_group_options,
)
from usbshare.bridge.hosts import name_lookup
from usbshare.bridge.settings import Settings
from usbshare.bridge.state import LastUsed, bridge_state
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

LAST = LastUsed("192.0.2.1:50051", "Laser", "laser.local", "grbl", vcom="COM10")


@click.group(invoke_without_command=True)
@connection_options
@click.pass_context
def program(
    context: click.Context, target: str | None, bundle: Path | None, insecure: bool
) -> None:
    remember_group_options(context, None, target, bundle, insecure)
    if context.invoked_subcommand is None:
        _tell(context, target, bundle, insecure)


@program.command()
@connection_options
@click.pass_context
def sub(context: click.Context, target: str | None, bundle: Path | None, insecure: bool) -> None:
    _tell(context, target, bundle, insecure)


@program.command()
@connection_options
@click.pass_context
def only_where(
    context: click.Context, target: str | None, bundle: Path | None, insecure: bool
) -> None:
    print(f"[{connection(context, target, bundle, insecure)[0]}]")


def _tell(context: click.Context, target: str | None, bundle: Path | None, insecure: bool) -> None:
    where, _ = connection(context, target, bundle, insecure)
    print(f"[{where} {where.tls_name} {port_or_default(context, '', where)}]")


class Naming:
    """Looks names up in a table, and remembers what it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, Target] = {}
        self.asked: list[str] = []

    async def resolve(
        self, text: str, _settings: Settings | None, _bundle: ClientBundle | None, kind: str
    ) -> Target:
        assert kind == "serial"
        self.asked.append(text)
        if text not in self.known:
            raise NotFoundError(f"no host is called {text!r}")
        return self.known[text]


Ask = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Naming:
    fake = Naming()
    monkeypatch.setattr(name_lookup, "resolve", fake.resolve)
    return fake


@pytest.fixture
def ask(home: Path, looked_up: Naming) -> Ask:
    def run(*arguments: str, **environment: str) -> Result:
        ours = {"USBSHARE_HOME": str(home), "USBSHARE_INSECURE": "1", "USBSHARE_CONFIG": ""}
        return CliRunner().invoke(program, arguments, env={**ours, **environment})

    return run


@pytest.fixture
def used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("USBSHARE_HOME", str(home))
        bridge_state(print).save(LAST)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("192.0.2.9", "192.0.2.9:50051"),
        ("192.0.2.9:1", "192.0.2.9:1"),
        ("2001:db8::1", "[2001:db8::1]:50051"),
        ("[2001:db8::1]:1", "[2001:db8::1]:1"),
    ],
)
def test_an_address_needs_neither_configuration_nor_looking_up(
    ask: Ask, looked_up: Naming, home: Path, text: str, target: str
) -> None:
    (home / "usbshare.toml").write_text("[wrong")
    assert f"[{target}]" in ask("only-where", "--target", text).output
    assert looked_up.asked == []


def test_a_name_is_looked_up(ask: Ask, looked_up: Naming) -> None:
    looked_up.known["Laser Werkstatt"] = Target("192.0.2.5", 50051, "laser.local")
    assert "[192.0.2.5:50051 laser.local ]" in ask("--target", "Laser Werkstatt").output


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["--target", "192.0.2.2", "sub", "--target", "192.0.2.3"], "192.0.2.4", "192.0.2.3"),
        (["--target", "192.0.2.2", "sub"], "192.0.2.4", "192.0.2.2"),
        (["sub"], "192.0.2.4", "192.0.2.4"),
        (["sub"], "", "192.0.2.7"),
        (["--target", "192.0.2.2"], "192.0.2.4", "192.0.2.2"),
        ([], "192.0.2.4", "192.0.2.4"),
    ],
)
def test_the_nearest_word_counts(
    ask: Ask, home: Path, used: None, arguments: list[str], environment: str, expected: str
) -> None:
    (home / "usbshare.toml").write_text('[bridge]\ntarget = "192.0.2.7"\n')
    assert f"[{expected}:50051 " in ask(*arguments, USBSHARE_TARGET=environment).output


def test_the_last_host_is_found_by_its_name_again(ask: Ask, used: None, looked_up: Naming) -> None:
    looked_up.known["Laser"] = Target("192.0.2.8", 50061, "laser.local", "Laser")
    output = ask().output
    assert "as last time: --target Laser\n" in output
    assert "as last time: --port grbl\n" in output
    assert "[192.0.2.8:50061 laser.local grbl]" in output


def test_the_last_host_is_tried_where_it_was_if_no_host_has_its_name_now(
    ask: Ask, used: None
) -> None:
    output = ask().output
    assert "no host is called 'Laser'; trying 192.0.2.1:50051, its last known address" in output
    assert "[192.0.2.1:50051 laser.local grbl]" in output


def test_a_name_that_was_typed_is_not_guessed(ask: Ask, used: None) -> None:
    done = ask("--target", "Laser")
    assert isinstance(done.exception, NotFoundError)
    assert "trying" not in done.output


def test_a_port_that_was_used_elsewhere_is_not_taken(ask: Ask, used: None) -> None:
    assert "[192.0.2.2:50051  ]" in ask("--target", "192.0.2.2").output


@pytest.mark.parametrize("text", ["", "laser:abc", "laser:0", "http://laser", "a b:1"])
def test_an_invalid_target_is_bad_usage(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.undo()
    done = ask("--target", text)
    assert done.exit_code == 2
    assert "Invalid value for '--target'" in done.output


def test_an_invalid_target_in_the_configuration_is_its_mistake(
    ask: Ask, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "usbshare.toml").write_text('[bridge]\ntarget = "laser:abc"\n')
    monkeypatch.undo()
    monkeypatch.chdir(home)
    done = ask()
    assert isinstance(done.exception, ConfigError)
    assert "laser:abc" in str(done.exception)


def test_without_any_target_it_says_how_to_give_one(ask: Ask) -> None:
    done = ask()
    assert done.exit_code == 2
    assert "Missing option '--target'" in done.output
