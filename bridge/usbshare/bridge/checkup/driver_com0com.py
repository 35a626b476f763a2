"""Check of com0com, on Windows."""

from __future__ import annotations

from collections.abc import Mapping

from usbshare.base.checkup import Judgement, failure, fine, warning
from usbshare.bridge.local_ports.com0com import port_names_in_registry
from usbshare.bridge.local_ports.com0com_pairs import paired_port

_INSTALL = "`setupc install PortName={name} -` in com0com's Setup Command Prompt, as administrator"


def judge_driver(name: str) -> Judgement:
    """Check whether com0com has a pair with that port."""
    return judge_pairs(name, port_names_in_registry())


def judge_pairs(name: str, port_names: Mapping[str, str | None]) -> Judgement:
    """Check whether one of the pairs has the port; `port_names` as in `paired_port`."""
    install = _INSTALL.format(name=name or "COM10")
    if not port_names:
        return failure("com0com is not installed", f"install it, then {install}")
    shown = ", ".join(port_name or end for end, port_name in sorted(port_names.items()))
    if not name:
        return warning(f"com0com has {shown}", "name one with --vcom")
    other = paired_port(name, port_names)
    if other is None:
        return failure(f"com0com has no port {name}; it has {shown}", install)
    return fine(f"com0com pairs {name} with {other}")
