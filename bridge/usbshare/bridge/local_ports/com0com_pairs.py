"""How com0com names the two ends of its pairs in the registry."""

from __future__ import annotations

from collections.abc import Mapping

# The port's class installer chose the name, and wrote it elsewhere.
INSTALLER_NAMED = "COM#"
_OTHER_END = {"CNCA": "CNCB", "CNCB": "CNCA"}


def paired_port(name: str, port_names: Mapping[str, str | None]) -> str | None:
    """Return the port at the other end of `name`, None when com0com has no such port.

    `port_names` is what each end (CNCA0, CNCB0, ...) is called; None: by the name of the end.
    """
    for end, port_name in port_names.items():
        other = _other_end(end)
        if other in port_names and (port_name or end).upper() == name.upper():
            return port_names[other] or other
    return None


def _other_end(end: str) -> str:
    return _OTHER_END.get(end[:4], "") + end[4:]
