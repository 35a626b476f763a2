"""`usbshare-bridge stop` by the shortest way: an address, a certificate, one call.

Whatever is not plain takes the full command line: names to look up, second factors, several ports.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from usbshare.base.addresses import parse_address
from usbshare.base.errors import (
    ConfirmationNeededError,
    InvalidArgumentError,
    UsbshareError,
)
from usbshare.base.paths import client_bundle_path, is_open_to_others
from usbshare.bridge.defaults import UrgentDefaults
from usbshare.bridge.stop import command
from usbshare.bridge.stop.arguments import StopWish, read_stop
from usbshare.bridge.stop.guard import UNCONFIRMED_EXIT, tell
from usbshare.bridge.stop.result import Done
from usbshare.client.serial.stop_client import STOP_TIMEOUT_S, StopClient
from usbshare.rpc.channel import STOP_KEEPALIVE, Target, Trust, parse_target
from usbshare.trust.pem_bundle import read_pem_bundle

# The full command line asks again, with what these want: a code, or which port.
_ASK_AGAIN = (ConfirmationNeededError, InvalidArgumentError)


def stop_now(arguments: Sequence[str]) -> bool:
    """Stop, and return True; False where nothing was done and the full command line must do it.

    A stop that is not confirmed raises SystemExit, after a line that says why.
    """
    wish = read_stop(arguments, os.environ)
    if wish is None:
        return False
    defaults = UrgentDefaults(Path(wish.config) if wish.config else None, _warn)
    target = _plain_target(wish.target or defaults.target)
    if target is None:
        return False
    if not wish.target and defaults.repeats_target:
        _warn(f"as last time: --target {target}")
    trust = None if wish.insecure else _trust(wish, defaults)
    if trust is None and not wish.insecure:
        return False
    try:
        done = asyncio.run(_stop(target, trust, wish))
    except _ASK_AGAIN:
        return False
    except UsbshareError as error:
        _warn(str(error))
        sys.exit(UNCONFIRMED_EXIT)
    done.tell(as_json=wish.as_json)
    _warn_of_rights(trust)
    return True


def _plain_target(text: str) -> Target | None:
    """Return where an address, or a host with its port, is; None for what must be looked up."""
    try:
        target = parse_target(text)
    except InvalidArgumentError:
        return None
    is_name = parse_address(target.host) is None and target.host == text.strip()
    return None if is_name else target


def _trust(wish: StopWish, defaults: UrgentDefaults) -> Trust | None:
    """Return the client certificate; None where the full command line must say what it lacks."""
    path = Path(wish.bundle) if wish.bundle else defaults.bundle or client_bundle_path()
    try:
        return read_pem_bundle(path)
    except OSError:
        return None


async def _stop(target: Target, trust: Trust | None, wish: StopWish) -> Done:
    client = StopClient(target, trust, STOP_TIMEOUT_S, STOP_KEEPALIVE)
    try:
        report = await client.stop(wish.port, wish.action, wish.reason)
        return await command.outcome(client, wish.port, wish.action, report)
    finally:
        await client.close()


def _warn(text: str) -> None:
    for line in text.splitlines():
        tell(f"bridge: {line}", 2)


def _warn_of_rights(trust: Trust | None) -> None:
    if trust is None:
        _warn("plaintext: the connection is not authenticated (--insecure)")
    elif is_open_to_others(trust.path):
        _warn(f"other users can read the private key in {trust.path}: run `chmod 600 {trust.path}`")
