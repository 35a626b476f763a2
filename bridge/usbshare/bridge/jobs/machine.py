"""What is known of the machine that a job is for: from a file of `$$`, or from the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from usbshare.analysis.machine_answers import machine_facts
from usbshare.analysis.records import MachineFacts
from usbshare.base.errors import DeviceError, InvalidArgumentError
from usbshare.bridge.commands.send_exchange import send_command
from usbshare.bridge.forwarding.virtual_com_port import client_name
from usbshare.client.serial.client import SerialClient
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

QUESTIONS = (b"$$", b"$#")
_QUIET_S, _TIMEOUT_S = 1.0, 15.0
_LARGEST_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class KnownMachine:
    """What is known, and what its line carries; 0 for a line without a rate."""

    facts: MachineFacts | None
    line_bytes_per_s: float


def facts_of_file(path: Path) -> MachineFacts:
    """Read a file of what `$$` answers, and perhaps `$#`; raises InvalidArgumentError, OSError."""
    with path.open("rb") as file:
        text = file.read(_LARGEST_FILE_BYTES).decode("utf-8", errors="replace")
    facts = machine_facts(text.splitlines())
    if facts is None:
        raise InvalidArgumentError(
            f"{path}: no line like $110=5000.000 in it; it must contain the machine's answer to $$"
        )
    return facts


async def facts_of_host(target: Target, bundle: ClientBundle | None, port_id: str) -> KnownMachine:
    """Ask a machine that nobody controls; raises UsbshareError."""
    client = SerialClient(target, bundle)
    try:
        lines: list[str] = []
        for question in QUESTIONS:
            answer = await send_command(
                client,
                port_id,
                question,
                None,
                client_name("bridge job"),
                quiet_s=_QUIET_S,
                timeout_s=_TIMEOUT_S,
            )
            lines += answer.data.decode("ascii", errors="replace").splitlines()
        ports = [each for each in await client.list_ports() if port_id in ("", each.id)]
    finally:
        await client.close()
    facts = machine_facts(lines)
    if facts is None:
        said = " ".join(line.strip() for line in lines[-2:]) or "nothing"
        raise DeviceError(f"the machine did not report its settings; it answered {said!r} to $$")
    return KnownMachine(facts, ports[0].settings.bytes_per_s if len(ports) == 1 else 0.0)
