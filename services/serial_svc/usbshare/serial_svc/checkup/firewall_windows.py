"""The finding about the firewall on Windows, whose rules are not read."""

from __future__ import annotations

from collections.abc import Iterable

from usbshare.base.checkup import Judgement, warning
from usbshare.serial_svc.checkup.firewall_ports import Opening, spans


def judge_firewall(wanted: Iterable[Opening]) -> Judgement:
    """Give the commands that open the ports."""
    commands = (
        f"netsh advfirewall firewall add rule name=usbshare dir=in action=allow "
        f"protocol={protocol.upper()} localport={span}"
        for protocol, span in spans(wanted, "-")
    )
    listed = " and ".join(f"`{command}`" for command in commands)
    return warning(
        "Windows has a firewall; whether it allows usbshare is not checked",
        f"if other computers cannot reach this one, run as administrator {listed}",
    )
