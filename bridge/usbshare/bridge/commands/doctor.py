"""`usbshare-bridge doctor`: why a connection works or does not, check by check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from usbshare.base.checkup import Judgement, check_up, failure, fine
from usbshare.base.errors import ConfigError
from usbshare.base.event_loop import run
from usbshare.bridge.checkup.context import Subject
from usbshare.bridge.checkup.steps import steps
from usbshare.bridge.commands.json_option import json_option
from usbshare.bridge.commands.options import Wanted, connection_options, wanted
from usbshare.bridge.defaults import UrgentDefaults
from usbshare.bridge.forwarding.virtual_com_port import client_name


@click.command()
@connection_options
@click.option("--port", default="", envvar="USBSHARE_PORT", help="The remote port's id.")
@click.option(
    "--vcom", metavar="NAME|PATH", envvar="USBSHARE_VCOM", help="The virtual port to check."
)
@json_option("Print JSON.")
@click.pass_context
def doctor(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    port: str,
    vcom: str | None,
    as_json: bool,
) -> None:
    """Check everything that a connection needs; the exit code is 0 if a connection would work."""
    configuration = _judge_configuration(context.obj)
    if configuration.remedy:
        lenient = UrgentDefaults(_outer(context, "config"), lambda _: None)
        context.obj = replace(context.obj, defaults=lenient)
    wishes = wanted(context, target, bundle, insecure)
    subject = _subject(wishes, configuration, port or _outer(context, "port") or "")
    if named := vcom or _outer(context, "vcom"):
        subject.virtual_port = ("vcom", named)
    if not run(_examine(subject, as_json=as_json)):
        context.exit(1)


async def _examine(subject: Subject, *, as_json: bool) -> bool:
    try:
        return await check_up(list(steps(subject)), click.echo, as_json=as_json)
    finally:
        await subject.close()


def _judge_configuration(wishes: Wanted) -> Judgement:
    """Check whether the file is correct; all its mistakes at once."""
    defaults = wishes.defaults
    try:
        settings = defaults.settings
    except ConfigError as error:
        return failure(str(error), "fix it: docs/operations.md lists every key")
    del settings
    return fine(f"{defaults.path}: correct" if defaults.path else "no configuration file")


def _subject(wishes: Wanted, configuration: Judgement, port: str) -> Subject:
    defaults, text = wishes.defaults, wishes.target
    return Subject(
        wishes,
        defaults.settings,
        configuration,
        port or defaults.configured_port(text) or defaults.repeated_port(text),
        defaults.virtual_port or defaults.last.virtual_port,
        client_name("bridge"),
    )


def _outer(context: click.Context, name: str) -> Any:
    """Return what the group's options say."""
    return context.parent.params.get(name) if context.parent else None
