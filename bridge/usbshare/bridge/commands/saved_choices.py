"""What a command line chose, kept for the next time: in the state, and in `[bridge]` if asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from usbshare.base.paths import settings_path
from usbshare.bridge.defaults import Defaults
from usbshare.bridge.hosts.seen_hosts import note_seen
from usbshare.bridge.state import KINDS, LastUsed, Warn, bridge_state
from usbshare.rpc.channel import Target

USUAL_VIRTUAL_PORT = ("vcom", "COM10")


@dataclass(frozen=True, slots=True)
class PortName:
    """A virtual port as it is asked for: `vcom` and `COM10`."""

    kind: str
    value: str


def note_last(
    defaults: Defaults, target: Target, port_name: PortName, warn: Warn
) -> Callable[[str], None]:
    """Return a function that records, with the remote port's id, that this bridge connected."""

    def note(port_id: str) -> None:
        if not defaults.remembers:
            return
        state = bridge_state(warn)
        used = {port_name.kind: anywhere(port_name.kind, port_name.value)}
        last = LastUsed(camera=state.load().camera, **used)
        named = {"name": target.name, "tls_name": target.tls_name}
        note_seen({each: [port_id] for each in _called(target)})
        state.save(replace(last, target=str(target), port=port_id, **named))

    return note


def _called(target: Target) -> tuple[str, ...]:
    return (target.name, str(target)) if target.name else (str(target),)


def note_camera(defaults: Defaults, target: Target, warn: Warn) -> Callable[[str], None]:
    """Return what notes the id of a camera that was shown, if it is of the host last used."""

    def note(camera_id: str) -> None:
        if defaults.remembers and defaults.is_last_host(target):
            state = bridge_state(warn)
            state.save(replace(state.load(), camera=camera_id))

    return note


def note_enrolled(target: Target, port_id: str, warn: Warn) -> None:
    """Note what a bare bridge does from now on; a virtual port that is known stays."""
    state = bridge_state(warn)
    kind, value = state.load().virtual_port or USUAL_VIRTUAL_PORT
    ports = {kind: value}
    state.save(LastUsed(target=str(target), port=port_id, origin="enrolled", **ports))


def anywhere(key: str, value: str) -> str:
    """Return the value of a key of `[bridge]` as it means the same in every working folder."""
    is_path = key == "bundle" or (key == "vcom" and os.sep in value)
    return os.path.abspath(value) if is_path else value


def save_choice(path: Path | None, chosen: Mapping[str, str]) -> Path:
    """Write keys of `[bridge]` into the file, else into the user's; return where they are.

    A new kind of virtual port takes the place of another. Raises ConfigError.
    """
    from usbshare.base.config import write_config  # noqa: PLC0415 - pydantic takes its time

    where = path or settings_path()
    changes: dict[tuple[str, ...], str | None] = {("bridge", key): chosen[key] for key in chosen}
    if not chosen.keys().isdisjoint(KINDS):
        changes.update({("bridge", kind): None for kind in KINDS if kind not in chosen})
    write_config(where, changes)
    return where
