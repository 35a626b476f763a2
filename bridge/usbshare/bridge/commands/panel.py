"""`usbshare-bridge panel`: the page for people, in a browser of this computer or of a tablet."""

from __future__ import annotations

import asyncio
import socket
import webbrowser
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from usbshare.base.errors import InvalidArgumentError
from usbshare.base.event_loop import on_stop_signals, run, settle_garbage
from usbshare.base.http_access import checked_token, new_token
from usbshare.base.http_address import PANEL, HttpAddress, http_address
from usbshare.base.logs import warn_on_stderr
from usbshare.base.paths import state_folder
from usbshare.base.threads import in_thread
from usbshare.bridge.commands.json_option import json_option
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import Wanted, connection_options, wanted
from usbshare.bridge.forwarding.report import JsonReporter, Reporter, TextReporter
from usbshare.bridge.forwarding.virtual_com_port import client_name
from usbshare.bridge.hosts.name_lookup import open_finder
from usbshare.bridge.panel.own_computer import PanelsComputer
from usbshare.enrolment.qr_code import print_qr_code
from usbshare.hosts.interfaces import interfaces_up
from usbshare.panel.gateway import Gateway, PanelChoice
from usbshare.panel.request_guard import Guard
from usbshare.rpc.channel import Target, parse_target

_LOCAL = ".local"


@click.command()
@connection_options
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default=PANEL.usual,
    envvar="USBSHARE_PANEL",
    show_envvar=True,
    help="Address at which the panel listens. Other computers need a token.",
)
@click.option(
    "--token",
    metavar="TEXT",
    envvar="USBSHARE_PANEL_TOKEN",
    show_envvar=True,
    help="Token that a page must present; by default a new one at each start if --listen serves "
    "other computers.",
)
@click.option("--open", "opens", is_flag=True, help="Open the panel in this computer's browser.")
@json_option("Print the panel's address as a JSON line on stdout.")
@click.pass_context
def panel(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    listen: str,
    token: str | None,
    opens: bool,
    as_json: bool,
) -> None:
    """Serve the panel: hosts, machines, jobs and pictures in a browser.

    Open the address that it prints. With an address that others reach, such as
    `--listen 0.0.0.0`, it prints one with a token, and a QR code for a tablet.
    """
    address = _address(listen)
    wishes = wanted(context, target, bundle, insecure)
    guard = _guard(address, token)
    choice = PanelChoice(
        open_finder=partial(open_finder, wishes.defaults.settings_if_any),
        own=PanelsComputer(wishes, _given(context, wishes), warn),
        in_plaintext=wishes.insecure,
        guard=guard,
        client_name=client_name("panel"),
        state_folder=state_folder(),
        named=_named(wishes),
    )
    warn_on_stderr()
    reporter = JsonReporter() if as_json else TextReporter()
    listening = address.listen()
    run(_serve(choice, address, listening, reporter, opens=opens))


async def _serve(
    choice: PanelChoice,
    address: HttpAddress,
    listening: socket.socket,
    reporter: Reporter,
    *,
    opens: bool,
) -> None:
    stopping = asyncio.Event()
    on_stop_signals(stopping.set)
    port, token = listening.getsockname()[1], choice.guard.token
    urls = _urls(address, port, token)
    opening: list[asyncio.Task[None]] = []

    def ready() -> None:
        settle_garbage()
        reporter.event("ready", _ready_text(urls), url=urls[0], urls=list(urls))
        if token:
            print_qr_code(urls[-1])
        if opens:
            opening.append(asyncio.create_task(_open_browser(urls[0], reporter), name="browser"))

    try:
        await Gateway(choice).run(listening, stopping, ready)
    finally:
        reporter.end()


async def _open_browser(url: str, reporter: Reporter) -> None:
    if not await in_thread(webbrowser.open, url):
        reporter.event("no_browser", f"no browser could be opened: open {url} yourself", url=url)


def _address(listen: str) -> HttpAddress:
    try:
        return http_address(listen, PANEL)
    except InvalidArgumentError as error:
        raise click.BadParameter(str(error), param_hint="'--listen'") from error


def _guard(address: HttpAddress, token: str | None) -> Guard:
    name = socket.gethostname().casefold()
    names = frozenset({name, name.partition(".")[0], name.partition(".")[0] + _LOCAL})
    if token is not None:
        return Guard(checked_token(token), names)
    return Guard("" if address.is_loopback else new_token(), names)


def _named(wishes: Wanted) -> Sequence[Target]:
    """Return the host that was asked for, configured or used last, where that is an address."""
    try:
        target = parse_target(wishes.target)
    except InvalidArgumentError:  # none, or a name that discovery knows
        return ()
    return (target,)


def _given(context: click.Context, wishes: Wanted) -> Sequence[str]:
    """Return the options of the panel that a bridge needs too."""
    parent = context.parent
    config = None if parent is None else parent.params.get("config")
    given = [] if config is None else ["--config", str(config)]
    if wishes.bundle is not None:
        given += ["--bundle", str(wishes.bundle)]
    return [*given, "--insecure"] if wishes.insecure else given


def _urls(address: HttpAddress, port: int, token: str) -> tuple[str, ...]:
    """Return where the panel is: for this computer first, for a tablet last."""
    if not address.is_any:
        return (address.url(port, token),)
    here = HttpAddress("127.0.0.1", port).url(port, token)
    found = [each for interface in interfaces_up() for each in interface.ipv4]
    others = [HttpAddress(each, port).url(port, token) for each in found]
    return (here, *others)


def _ready_text(urls: Sequence[str]) -> str:
    return f"ready: the panel is at {' and '.join(urls)}"
