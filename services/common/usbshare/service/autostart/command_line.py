"""The options of a command line, to be repeated by the unit that starts the program."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.core import ParameterSource


def program_path(name: str) -> str:
    """Return where a program of ours is: beside this one, else on the PATH, else its bare name."""
    own = Path(sys.argv[0])
    beside = [own.parent / name, own.parent / f"{name}.exe", Path(sys.executable).parent / name]
    found = next((each for each in beside if each.is_file()), None)
    return os.path.abspath(found) if found else shutil.which(name) or name


def said_options(context: click.Context) -> list[str]:
    """Return the options that the command line gave this command, files by their whole path."""
    return [word for parameter in context.command.params for word in _said(context, parameter)]


def _said(context: click.Context, parameter: click.Parameter) -> Iterator[str]:
    name = parameter.name or ""
    if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
        return
    value, option = context.params[name], parameter.opts[0]
    if isinstance(parameter, click.Option) and parameter.is_flag:
        yield option
        return
    for each in value if parameter.multiple or isinstance(value, tuple) else [value]:
        yield from (option, os.path.abspath(each) if isinstance(each, Path) else str(each))
