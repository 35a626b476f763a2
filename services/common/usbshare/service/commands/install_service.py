"""`install-service`, the same for every program; the unit repeats the given command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import click

from usbshare.base.errors import ConfigError
from usbshare.base.paths import config_folder
from usbshare.service.autostart.command_line import program_path, said_options
from usbshare.service.autostart.installation import (
    Manager,
    install,
    require_seen,
    require_user,
)
from usbshare.service.autostart.task_xml import UNTRIED, task_xml
from usbshare.service.autostart.unit_file import system_unit, user_of, user_unit

SYSTEM, USER, WINDOWS = "system", "user", "windows"


@dataclass(frozen=True, slots=True)
class Shipped:
    """A program with the unit that is shipped with it in a package.

    `kind`: the usual manager. `always`: options that it is always started with. `is_a_persons`: it
    uses a person's own certificate, so it runs as that user.
    """

    name: str
    package: str
    kind: str
    always: Sequence[str] = ()
    is_a_persons: bool = False

    @property
    def unit(self) -> str:
        """The text of the unit."""
        return (files(self.package) / f"{self.name}.service").read_text(encoding="utf-8")


def install_service(shipped: Shipped, tell: Callable[[str], None]) -> click.Command:
    """Return the command that makes a program start with the computer."""

    @click.command("install-service", short_help="Start at boot, from now on.")
    @click.option(
        "--system", "kind", flag_value=SYSTEM, help=("Write a unit for the system's systemd.")
    )
    @click.option("--user", "kind", flag_value=USER, help="Write a unit for your own systemd.")
    @click.option(
        "--windows",
        "kind",
        flag_value=WINDOWS,
        help=(f"Write a Task Scheduler XML; untried: {UNTRIED}."),
    )
    @click.option(
        "--run-as",
        metavar="USER",
        default="",
        help="With --system: the user that runs it.",
        show_default=False,
    )
    @click.option("--name", metavar="NAME", default=shipped.name, help="The unit's name.")
    @click.option("--no-start", is_flag=True, help="Only write the unit.")
    @click.option("--print", "prints", is_flag=True, help="Only print it, write nothing.")
    @click.pass_context
    def command(
        context: click.Context,
        kind: str | None,
        run_as: str,
        name: str,
        no_start: bool,
        prints: bool,
    ) -> None:
        """Start at boot, with the options given before `install-service`.

        A host's service becomes a system unit, a bridge a unit of your own systemd.
        """
        _require_name(name)
        kind = kind or _usual(shipped)
        said = said_options(context.parent) if context.parent is not None else []
        words = [program_path(shipped.name), *shipped.always, *said]
        text = _text(shipped, kind, words, run_as)
        if prints:
            click.echo(text, nl=False)
        elif kind == WINDOWS:
            _write_task(name, text, tell)
        else:
            if kind == SYSTEM:
                require_user(user_of(text))
            if kind == SYSTEM and not shipped.is_a_persons:
                require_seen(words[0])
            install(Manager(kind == USER), name, text, starts=not no_start, tell=tell)

    return command


def _usual(shipped: Shipped) -> str:
    if sys.platform == "win32":
        return WINDOWS
    if sys.platform == "darwin":
        raise ConfigError("macOS has no systemd: write a launchd job, or give --print and a kind")
    return shipped.kind


def _text(shipped: Shipped, kind: str, words: Sequence[str], run_as: str) -> str:
    if kind == WINDOWS:
        return task_xml(f"usbshare {shipped.name}", words)
    if kind == USER:
        return user_unit(shipped.unit, words)
    user = run_as or (_who_called() if shipped.is_a_persons else "")
    return system_unit(shipped.unit, words, user)


def _who_called() -> str:
    """Return the user behind `sudo`; raises ConfigError if there is none."""
    if user := os.environ.get("SUDO_USER", ""):
        return user
    raise ConfigError(
        "a system bridge needs a user whose certificate it presents: give --run-as USER"
    )


def _require_name(name: str) -> None:
    if not name or not name.isprintable() or set(name) & set("/\\ \"'%$"):
        raise ConfigError(
            f"--name {name!r} is not a valid unit name: use letters, digits and dashes"
        )


def _write_task(name: str, text: str, tell: Callable[[str], None]) -> None:
    path = Path(config_folder()) / f"{name}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-16")
    tell(f"written: {path} (untried: {UNTRIED})")
    tell("to start it at each logon:")
    tell(f'  schtasks /Create /TN "{name}" /XML "{path}"')
