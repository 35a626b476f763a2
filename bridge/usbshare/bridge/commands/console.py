"""`usbshare-bridge console`: talk to a machine, stop it, and offer it to other programs."""

from __future__ import annotations

from pathlib import Path

import click

from usbshare.base.event_loop import run
from usbshare.bridge.commands.options import (
    connection,
    connection_options,
    port_option,
    port_or_default,
)
from usbshare.bridge.console.app import ConsoleChoice, run_console
from usbshare.bridge.console.host import HostChoice
from usbshare.bridge.console.tcp import DEFAULT_PORT as TCP_PORT
from usbshare.bridge.console.udp import DEFAULT_PORT as UDP_PORT
from usbshare.bridge.local_ports.loopback_address import loopback_address


@click.command()
@connection_options
@port_option
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Also listen for telnet and programs over TCP, such as 127.0.0.1:2323.",
)
@click.option(
    "--listen-udp",
    metavar="HOST:PORT",
    help="Also listen for datagrams, a line each, such as 127.0.0.1:2324.",
)
@click.option(
    "--job-port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Port of the host's job service; by default the one that the host "
    "announces, or else 50055.",
)
@click.pass_context
def console(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    port: str,
    listen: str | None,
    listen_udp: str | None,
    job_port: int | None,
) -> None:
    """Talk to a machine: send lines, stop it, and offer it to other programs.

    At a terminal it has history and completion; `help` lists the commands. From a pipe it takes
    a line at a time and prints the answers.
    """
    tcp = loopback_address(listen, TCP_PORT) if listen else None
    udp = loopback_address(listen_udp, UDP_PORT) if listen_udp else None
    where, trust = connection(context, target, bundle, insecure)
    port = port or (context.parent.params["port"] if context.parent is not None else "")
    port = port_or_default(context, port, where)
    choice = HostChoice(where, trust, context.obj.defaults.settings_if_any, job_port)
    context.exit(run(run_console(ConsoleChoice(choice, port, tcp, udp))))
