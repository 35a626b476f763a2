"""`usbshare-bridge` without a command: one virtual port, until it is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from usbshare.base.errors import PortHeldError
from usbshare.base.event_loop import run
from usbshare.base.logs import warn_on_stderr
from usbshare.bridge.commands import default_options
from usbshare.bridge.commands.confirmation import run_confirmed
from usbshare.bridge.commands.match_option import connection_of_match
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import Wanted, connection, port_or_default
from usbshare.bridge.commands.saved_choices import note_last
from usbshare.bridge.forwarding.report import JsonReporter, TextReporter
from usbshare.bridge.forwarding.virtual_com_port import BridgeChoice, bridge
from usbshare.bridge.forwarding.waiting import Asking, wait_until_there
from usbshare.bridge.hosts.match_filter import Criterion
from usbshare.bridge.local_ports.port_makers import PORT_MAKERS
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

_HELD_ADVICE = "--wait asks for it and waits, --take takes it (administrators)"


@dataclass(frozen=True, slots=True)
class Said:
    """What the command line, or the environment, said."""

    target: str | None
    bundle: Path | None
    insecure: bool
    port: str
    criteria: Sequence[Criterion]
    first: bool
    observe: bool
    take: bool
    wait: bool
    code: str
    save: bool
    as_json: bool
    no_status: bool


def run_bridge(context: click.Context, wishes: Wanted, said: Said) -> None:
    """Offer the port until SIGINT or SIGTERM; raise UsbshareError if that is not possible."""
    name, buffered = default_options.port_name(context), default_options.buffer_size(context)
    make_port = partial(PORT_MAKERS[name.kind], name.value)
    make_port()  # an invalid name is reported before anything is tried
    reporter = JsonReporter(tells_status=not said.no_status) if said.as_json else TextReporter()
    asking = Asking(reporter)

    def attempt() -> None:
        where, trust, port_id = _where(context, wishes, said)
        if said.save:  # once it is known what the target means
            default_options.save(context)
        settings = wishes.defaults.settings_if_any
        choice = BridgeChoice(
            *(where, trust, port_id, said.observe, settings), takes=said.take, buffered=buffered
        )
        # Who watched last time does not want to hold the machine this time.
        stood = None if said.observe else note_last(wishes.defaults, where, name, warn)

        async def join() -> None:
            warn_on_stderr()
            try:
                await bridge(choice, make_port(), reporter, stood)
            finally:
                reporter.flush()

        try:
            run_confirmed(run, join, where, trust, said.code)
        except PortHeldError as error:
            if not said.wait and said.as_json:  # what a program shows has no options
                raise
            if not said.wait:
                raise PortHeldError(f"{error}. {_HELD_ADVICE}") from error
            run(asking.ask(where, trust, port_id))
            raise

    if said.wait:
        wait_until_there(attempt, reporter)
    else:
        attempt()


def _where(
    context: click.Context, wishes: Wanted, said: Said
) -> tuple[Target, ClientBundle | None, str]:
    if said.criteria:
        where, trust, port = connection_of_match(context, wishes, said.criteria, first=said.first)
    else:
        where, trust = connection(context, said.target, said.bundle, said.insecure)
        port = said.port
    return where, trust, port_or_default(context, port, where)
