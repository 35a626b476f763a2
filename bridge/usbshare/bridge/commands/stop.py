"""`usbshare-bridge stop`: the machine stops at once, so only what is needed is imported here."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from usbshare.base.errors import InvalidArgumentError
from usbshare.bridge.commands.confirmation import code_option, run_confirmed
from usbshare.bridge.commands.json_option import json_option
from usbshare.bridge.commands.options import (
    connection,
    connection_options,
    port_option,
    port_or_default,
)
from usbshare.bridge.stop import command
from usbshare.bridge.stop.result import Done
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.stop_client import STOP_TIMEOUT_S
from usbshare.client.serial.stop_report import SeenHold
from usbshare.line.profiles import StopAction
from usbshare.rpc.channel import STOP_KEEPALIVE, Target
from usbshare.rpc.tls import ClientBundle


@click.command()
@connection_options
@click.option("--hold", is_flag=True, help="Hold the machine; the beam may stay on.")
@click.option("--door", is_flag=True, help="Hold the machine with the beam off.")
@click.option("--resume", is_flag=True, help="Resume after a hold.")
@click.option("--rearm", is_flag=True, help="Let programs write again after an emergency stop.")
@click.option(
    "--epoch",
    type=click.IntRange(min=1),
    help="With --rearm and --resume: the epoch of the stop or hold that you saw, as printed; a "
    "later one is not undone.",
)
@click.option(
    "--hold-number",
    type=click.IntRange(min=0),
    help="With --resume and --epoch: the number of the hold that you saw, as printed.",
)
@port_option
@click.option("--reason", default="", metavar="TEXT", help="Reason, for the host's log.")
@code_option
@json_option("Print JSON on stdout; the readable line goes to stderr.")
@click.pass_context
def stop(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    hold: bool,
    door: bool,
    resume: bool,
    rearm: bool,
    epoch: int | None,
    hold_number: int | None,
    port: str,
    reason: str,
    code: str,
    as_json: bool,
) -> None:
    """Stop the machine at once, whichever client uses it; by default an emergency stop."""
    if hold + door + resume + rearm > 1:
        raise click.UsageError("Give at most one of '--hold', '--door', '--resume' and '--rearm'.")
    if epoch is not None and not (rearm or resume):
        raise click.UsageError("'--epoch' requires '--rearm' or '--resume'.")
    if (epoch is not None and resume) is not (hold_number is not None):
        raise click.UsageError("'--resume' takes both '--epoch' and '--hold-number', or neither.")
    port = port or (context.parent.params["port"] if context.parent is not None else "")
    where, trust = connection(context, target, bundle, insecure)
    actions = {StopAction.HOLD: hold, StopAction.SAFETY_DOOR: door, StopAction.RESUME: resume}
    asked = (action for action, is_asked in actions.items() if is_asked)
    action = None if rearm else next(asked, StopAction.EMERGENCY_STOP)

    def stop_at(port: str) -> Done:
        return run_confirmed(
            asyncio.run,
            lambda: _stop(where, trust, port, action, reason, epoch, hold_number),
            where,
            trust,
            code,
        )

    try:
        stop_at(port).tell(as_json=as_json)
    except InvalidArgumentError:
        # Only a host with several ports asks which one: other stops must not be obstructed.
        if port or not (usual := port_or_default(context, port, where)):
            raise
        stop_at(usual).tell(as_json=as_json)


async def _stop(
    target: Target,
    bundle: ClientBundle | None,
    port: str,
    action: StopAction | None,
    reason: str,
    epoch: int | None,
    hold_number: int | None,
) -> Done:
    """Stop, or re-arm where there is no action."""
    client = SerialClient(target, bundle, STOP_TIMEOUT_S, STOP_KEEPALIVE)
    try:
        if action is None:
            return await command.rearm(client, port, epoch)
        if action is StopAction.RESUME:
            seen = None if epoch is None else SeenHold(epoch, hold_number or 0)
            return await command.resume(client, port, reason, seen)
        return await command.stop(client, port, action, reason)
    finally:
        await client.close()
