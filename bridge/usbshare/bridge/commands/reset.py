"""`usbshare-bridge reset`: the machine restarts, as after its reset button."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from usbshare.base.errors import UsbshareError
from usbshare.base.event_loop import run
from usbshare.bridge.commands.confirmation import code_option, run_confirmed
from usbshare.bridge.commands.json_option import json_option, print_object
from usbshare.bridge.commands.notices import told_if_slow, told_run
from usbshare.bridge.commands.options import (
    connection,
    connection_options,
    port_option,
    port_or_default,
)
from usbshare.client.serial import port_condition
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.messages import RemotePort, ResetReport
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle


@click.command()
@connection_options
@port_option
@click.option(
    "--dtr", "line", flag_value="dtr", help="Pulse DTR even if the firmware has its own reset."
)
@click.option("--rts", "line", flag_value="rts", help="Pulse RTS, which resets an ESP32.")
@click.option(
    "--yes", is_flag=True, help=("Do not ask for confirmation, even if a job may be running.")
)
@click.option("--reason", default="", metavar="TEXT", help="Reason, for the host's log.")
@code_option
@json_option("Print JSON.")
@click.pass_context
def reset(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    port: str,
    line: str | None,
    yes: bool,
    reason: str,
    code: str,
    as_json: bool,
) -> None:
    """Reset the machine with its firmware's reset byte, or else with a pulse of DTR.

    After an emergency stop (M112) Marlin accepts nothing until it is reset. Whatever is queued is
    discarded; a latched port stays latched.
    """
    where, trust = connection(context, target, bundle, insecure)
    port = port_or_default(context, port, where)
    with told_if_slow(f"waiting for {where} to answer"):
        found = run(_look(where, trust, port))
    if not yes and (job := what_runs(found)):
        _require_yes(f"{job}: a reset ends that")
    report = run_confirmed(
        told_run(where),
        lambda: _reset(where, trust, found.id, line or "", reason),
        where,
        trust,
        code,
    )
    if as_json:
        print_object(
            {
                "port": found.id,
                "epoch": report.epoch,
                "latched": report.latched,
                "sent": report.sent.hex(),
                "pulsed_dtr": report.pulsed == "DTR",
                "pulsed_rts": report.pulsed == "RTS",
                "fenced_commands": report.fenced_commands,
            }
        )
    else:
        click.echo(in_words(found.id, report, where))


def what_runs(port: RemotePort) -> str:
    """Return what a reset would end; empty if the machine is not in use."""
    if port.holder:
        return f"port '{port.id}' is held by {port.holder}"
    if port.hold is not None:
        return f"port '{port.id}': {port_condition.sentences(port)}"
    return ""


def in_words(port_id: str, report: ResetReport, target: Target) -> str:
    """Return in one line what a reset did."""
    how = f"sent 0x{report.sent.hex().upper()}" if report.sent else f"{report.pulsed} was pulsed"
    plural = "" if report.fenced_commands == 1 else "s"
    line = f"port '{port_id}' was reset: {how}, fenced {report.fenced_commands} command{plural}"
    if not report.latched:
        return line
    where = f"--target {shlex.quote(target.name or str(target))} --port {port_id}"
    return f"{line}; it is latched until `usbshare-bridge stop --rearm {where}`"


def _require_yes(what: str) -> None:
    if not sys.stdin.isatty():
        raise UsbshareError(f"{what}: confirm with --yes")
    click.echo(f"bridge: {what}", err=True)
    if not click.confirm("Reset the machine?", default=False, err=True):
        raise UsbshareError("the machine was not reset")


async def _look(where: Target, trust: ClientBundle | None, port_id: str) -> RemotePort:
    client = SerialClient(where, trust)
    try:
        return await client.get_port(port_id)
    finally:
        await client.close()


async def _reset(
    where: Target, trust: ClientBundle | None, port_id: str, line: str, reason: str
) -> ResetReport:
    client = SerialClient(where, trust)
    try:
        return await client.reset(port_id, line, reason)
    finally:
        await client.close()
