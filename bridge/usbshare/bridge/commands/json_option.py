"""`--json`, which may be before or after a subcommand, and errors as JSON."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])
_NAME = "as_json"


def json_option(text: str) -> Callable[[_Command], _Command]:
    """Add the option to a subcommand, as `as_json`; said before the subcommand it counts too."""

    def of_group(context: click.Context, _: click.Parameter, value: bool) -> bool:
        parent = context.parent
        while parent is not None and not value:
            value, parent = bool(parent.params.get(_NAME)), parent.parent
        return value

    return click.option("--json", _NAME, is_flag=True, callback=of_group, help=text)


def run_with_json_errors(cli: click.Command, name: str, tell: Callable[[str], None]) -> NoReturn:
    """Run a command line whose errors, all of them, are one JSON line on stdout too.

    What is not click's own is raised.
    """
    try:
        code = cli.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        print_error(error.format_message(), error.exit_code)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        # The reader has gone; what is flushed at the end must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except click.Abort:
        tell("aborted")
        print_error("aborted", 1)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def print_error(text: str, exit_code: int) -> None:
    """Print what went wrong as one JSON line on stdout, if that takes it."""
    line = json.dumps({"error": text, "exit_code": exit_code})
    try:
        click.echo(line)
    except OSError:
        return


def print_object(said: dict[str, object]) -> None:
    """Print one JSON line on stdout."""
    click.echo(json.dumps(said))


def arguments_ask_for_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line has `--json`, before it was understood."""
    return "--json" in arguments[: arguments.index("--") if "--" in arguments else None]
