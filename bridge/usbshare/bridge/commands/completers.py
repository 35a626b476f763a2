"""What a shell offers for `--target` and `--port`: what this computer knows, without asking any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from usbshare.base.config_search import find_config
from usbshare.base.deadline import in_time
from usbshare.base.errors import ConfigError
from usbshare.bridge.hosts.seen_hosts import seen_hosts
from usbshare.bridge.state import LastUsed, bridge_state

MOST_S = 0.5  # a disk may hang


def complete_target(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the hosts that begin so: of `[hosts]` and `[bridge]`, last used, or seen before."""
    return _fitting(_known_targets(_option(context, "config")), incomplete)


def complete_port(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the ports that begin so, of the host that the command line names if it is known."""
    target = _option(context, "target") or ""
    return _fitting(_known_ports(target), incomplete)


def _fitting(known: Iterator[str], incomplete: str) -> list[str]:
    try:
        found = in_time("what is known", lambda: dict.fromkeys(known), lambda _: None, MOST_S)
    except TimeoutError:
        return []
    return [each for each in found if each.casefold().startswith(incomplete.casefold())]


def _known_targets(config: str | None) -> Iterator[str]:
    table = _configuration(config)
    hosts, bridge = table.get("hosts"), table.get("bridge")
    if isinstance(hosts, dict):
        yield from hosts
    if isinstance(bridge, dict) and isinstance(bridge.get("target"), str):
        yield bridge["target"]
    last = _last()
    yield from filter(None, (last.name, last.target))
    yield from seen_hosts().load()


def _known_ports(target: str) -> Iterator[str]:
    seen, last = seen_hosts().load(), _last()
    if target in seen:
        yield from seen[target]
        return
    if not target or target in (last.name, last.target):
        yield from filter(None, (last.port,))
    for ports in seen.values():
        yield from ports


def _configuration(asked: str | None) -> dict[str, object]:
    import tomllib  # noqa: PLC0415 - only a shell needs it here

    try:
        path = find_config(Path(asked) if asked else None)
        return {} if path is None else tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, ConfigError):
        return {}


def _last() -> LastUsed:
    return bridge_state(lambda _: None).load()


def _option(context: click.Context, name: str) -> str | None:
    """Return what the command line says, before the subcommand or behind it."""
    inner = context.params.get(name)
    outer = context.parent.params.get(name) if context.parent is not None else None
    said = inner or outer
    return None if said is None else str(said)
