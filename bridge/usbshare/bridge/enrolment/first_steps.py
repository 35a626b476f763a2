"""What an enrolled computer does next: the command to type, and what a bare bridge repeats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from usbshare.base.errors import PermissionDeniedError, UsbshareError
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.saved_choices import USUAL_VIRTUAL_PORT, note_enrolled
from usbshare.bridge.defaults import Defaults
from usbshare.bridge.enrolment.certificate_request import Enrolment
from usbshare.client.serial.client import SerialClient
from usbshare.rpc.channel import DEFAULT_PORT, Target
from usbshare.rpc.tls import ClientBundle

CONTROL = "control"
_NEXT = "next           "
_INDENT = " " * len(_NEXT)
ASK_TIMEOUT_S = 5.0
# What a host has just written into its policy counts within a second.
IN_FORCE_S, ASK_AFTER_S, ASK_AGAIN_S = 5.0, 1.25, 0.5


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """Lines to print, and why the host's ports are not known yet."""

    lines: tuple[str, ...]
    trouble: str


async def first_steps(done: Enrolment, defaults: Defaults, bundle: Path | None) -> FirstSteps:
    """Ask the host for its ports and note what a bare bridge repeats; never raises UsbshareError.

    `bundle` is set where the certificate is not where a bare bridge looks.
    """
    ports, trouble = await _ports(done)
    may_control = CONTROL in done.role.partition(": ")[2]
    command = " ".join(_words(done.target, defaults, bundle))
    if not may_control:
        return FirstSteps(_lines(f"{command} --observe", ports), trouble)
    lines = _lines(command, ports)
    if bundle is None and defaults.remembers:
        note_enrolled(done.target, ports[0] if len(ports) == 1 else "", warn)
        if not defaults.says_target:
            bare = "usbshare-bridge --port ID" if len(ports) > 1 else "usbshare-bridge alone"
            lines = (*lines, f"{_INDENT}from now on {bare} does the same")
    return FirstSteps(lines, trouble)


def _lines(command: str, ports: Sequence[str]) -> tuple[str, ...]:
    """Return the command, one for each port where there are several."""
    commands = [f"{command} --port {each}" for each in ports] if len(ports) > 1 else [command]
    return (f"{_NEXT}{commands[0]}", *(f"{_INDENT}{each}" for each in commands[1:]))


def _words(target: Target, defaults: Defaults, bundle: Path | None) -> list[str]:
    kind, value = defaults.virtual_port or defaults.last.virtual_port or USUAL_VIRTUAL_PORT
    where = target.host if target.port == DEFAULT_PORT else str(target)
    words = ["usbshare-bridge", "--target", where, f"--{kind}", value]
    return words if bundle is None else [*words, "--bundle", str(bundle)]


async def _ports(done: Enrolment) -> tuple[Sequence[str], str]:
    """Return the ids of the ports that this computer sees, and else why it sees none."""
    end = time.monotonic() + IN_FORCE_S
    await asyncio.sleep(ASK_AFTER_S)  # the host logs each refusal
    while True:
        try:
            if (ids := await _asked(done)) or time.monotonic() > end:
                return ids, "" if ids else (
                    f"{done.target} has no port that this computer is allowed to see"
                )
        except PermissionDeniedError as error:
            if time.monotonic() > end:
                return [], str(error)
        except UsbshareError as error:
            return [], f"{error} (the certificate is valid anyway)"
        await asyncio.sleep(ASK_AGAIN_S)


async def _asked(done: Enrolment) -> list[str]:
    client = SerialClient(done.target, ClientBundle.load(done.path))
    try:
        return [port.id for port in await client.list_ports(ASK_TIMEOUT_S)]
    finally:
        await client.close()
