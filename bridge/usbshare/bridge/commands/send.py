"""`usbshare-bridge send`: one command line and its answer."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import click

from usbshare.base.event_loop import run
from usbshare.bridge.commands.confirmation import code_option, run_confirmed
from usbshare.bridge.commands.json_option import json_option, print_object
from usbshare.bridge.commands.notices import told_if_slow
from usbshare.bridge.commands.options import (
    connection,
    connection_options,
    port_option,
    port_or_default,
)
from usbshare.bridge.commands.patience import Patience
from usbshare.bridge.commands.send_exchange import Answer, send_command
from usbshare.bridge.forwarding.virtual_com_port import client_name
from usbshare.client.serial.client import SerialClient
from usbshare.line.profiles import Priority
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

_WAITS = (
    "waiting for the machine's reply to {!r}: Ctrl-C ends the waiting, the machine continues "
    "(`usbshare-bridge stop` stops it)"
)


@click.command()
@connection_options
@port_option
@click.option(
    "--priority",
    type=click.Choice([priority.name.lower() for priority in Priority]),
    help="Priority; by default the one that the firmware's profile gives the command.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=float,
    help="Seconds to wait for the answer; by default 30, and without limit for a line that takes "
    "long, such as $H, G4 and M0.",
)
@click.option(
    "--quiet",
    "quiet_s",
    type=float,
    help="Seconds of silence after which an answer counts as complete; by default only the reply "
    "(ok, error, ALARM) ends it, or 1 where the firmware is not known to reply.",
)
@code_option
@json_option("Print JSON: the answer and its times.")
@click.argument("command")
@click.pass_context
def send(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    port: str,
    priority: str | None,
    timeout_s: float | None,
    quiet_s: float | None,
    code: str,
    command: str,
    as_json: bool,
) -> None:
    """Send one COMMAND line and print the answer."""
    where, trust = connection(context, target, bundle, insecure)
    port = port_or_default(context, port, where)
    level = Priority[priority.upper()] if priority else None
    answer = run_confirmed(
        run,
        lambda: _send(where, trust, port, command.encode(), level, quiet_s, timeout_s),
        where,
        trust,
        code,
    )
    said = answer.data.replace(b"\r\n", b"\n")
    queue_ms, write_ms = answer.queue_time_s * 1e3, answer.write_time_s * 1e3
    if as_json:
        times = {"waited_ms": round(queue_ms, 3), "written_ms": round(write_ms, 3)}
        print_object({"answer": said.decode(errors="backslashreplace"), **times})
        return
    sys.stdout.buffer.write(said)
    sys.stdout.flush()
    click.echo(f"waited {queue_ms:.2f} ms, written in {write_ms:.2f} ms", err=True)


async def _send(
    target: Target,
    bundle: ClientBundle | None,
    port: str,
    line: bytes,
    priority: Priority | None,
    quiet_s: float | None,
    timeout_s: float | None,
) -> Answer:
    client, name = SerialClient(target, bundle), client_name("bridge send")
    shown = line.decode(errors="replace")
    with ExitStack() as told:
        told.enter_context(told_if_slow(f"waiting for {target} to answer"))

        def waits(patience: Patience) -> None:
            told.close()
            if patience.quiet_s is None:
                told.enter_context(told_if_slow(_WAITS.format(shown)))

        try:
            return await send_command(
                client,
                port,
                line,
                priority,
                name,
                quiet_s=quiet_s,
                timeout_s=timeout_s,
                on_wait=waits,
            )
        finally:
            await client.close()
