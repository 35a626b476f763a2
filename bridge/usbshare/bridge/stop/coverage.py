"""What an emergency stop has to send to a port's machine, in every view of the port."""

from __future__ import annotations

from typing import Any

from usbshare.client.serial.messages import RemotePort

NONE, FALLBACK = "none", "fallback"


def short(port: RemotePort) -> str:
    """Return it in a few words for a table; empty where the stop is the firmware's own."""
    if port.stop_bytes == NONE:
        return "stop has no bytes"
    return "stop by fallback" if port.stop_bytes == FALLBACK and port.sees_gcode else ""


def sentence(port: RemotePort) -> str:
    """Return what a person must know once G-code flows; empty where there is nothing to know."""
    if not port.sees_gcode:
        return ""
    if port.stop_bytes == NONE:
        return (
            f"port '{port.id}' gets G-code with profile '{port.profile.name}': "
            "A STOP SENDS NO BYTES there; set the port's profile, or its [stop] table, on the host"
        )
    return (
        f"the firmware of port '{port.id}' is not recognised: a stop sends 0x18 and M112, which "
        "every G-code firmware obeys; better set the port's profile on the host"
    )


def fields(port: RemotePort) -> dict[str, Any]:
    """Return it for JSON."""
    return {"stop_bytes": port.stop_bytes, "sees_gcode": port.sees_gcode}
