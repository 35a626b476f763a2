"""Second factors: what a host wants confirmed is asked of the user, then tried again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from usbshare.base.errors import ConfirmationNeededError
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

T = TypeVar("T")
_Command = TypeVar("_Command", bound=Callable[..., Any])


def code_option(command: _Command) -> _Command:
    """Add the option that gives a code."""
    option = click.option(
        "--code",
        default="",
        metavar="DIGITS",
        help="Code from your authenticator app, if the host asks for one.",
    )
    return option(command)


def run_confirmed(
    run: Callable[[Coroutine[Any, Any, T]], T],
    attempt: Callable[[], Coroutine[Any, Any, T]],
    target: Target,
    bundle: ClientBundle | None,
    code: str,
) -> T:
    """Run an attempt; where that needs a second factor, confirm it and run another.

    Without a code a person at a terminal is asked; else it raises ConfirmationNeededError.
    """
    try:
        return run(attempt())
    except ConfirmationNeededError as error:
        code = code or _asked_for(error)
    _confirm(target, bundle, code)
    return run(attempt())


def _confirm(target: Target, bundle: ClientBundle | None, code: str) -> None:
    # Most calls need none of it, and a stop must not wait for it.
    from usbshare.base.event_loop import run  # noqa: PLC0415
    from usbshare.client.access import confirm  # noqa: PLC0415

    until = run(confirm(target, bundle, code)).astimezone()
    click.echo(f"bridge: confirmed until {until:%Y-%m-%d %H:%M}", err=True)


def _asked_for(error: ConfirmationNeededError) -> str:
    if not sys.stdin.isatty():
        raise error
    click.echo(f"bridge: {error}", err=True)
    return str(click.prompt("Code", err=True, hide_input=False)).strip()
