"""`--match`, and the ports that it chooses from: those of the target, else of all known hosts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from usbshare.base.errors import InvalidArgumentError
from usbshare.base.event_loop import run
from usbshare.bridge.commands.notices import told_if_slow, warn
from usbshare.bridge.commands.options import Wanted, resolved, trust
from usbshare.bridge.hosts.match_filter import KEYS, Criterion, parse_criterion
from usbshare.rpc.channel import Target, parse_target
from usbshare.rpc.tls import ClientBundle

DEFAULT_TIMEOUT_S = 8.0  # a slow link needs five round trips

if TYPE_CHECKING:
    from usbshare.bridge.hosts.inventory import Inventory

_Command = Callable[..., Any]


class CriterionType(click.ParamType[Criterion]):
    """KEY=PATTERN."""

    name = "KEY=PATTERN"

    def convert(
        self, value: str | Criterion, param: click.Parameter | None, ctx: click.Context | None
    ) -> Criterion:
        """Return the criterion or fail with the keys that there are."""
        if isinstance(value, Criterion):
            return value
        try:
            return parse_criterion(value)
        except InvalidArgumentError as error:
            self.fail(str(error), param, ctx)


def match_option(command: _Command) -> _Command:
    """Add `--match`, which may be given several times: all must hold."""
    return click.option(
        "--match",
        "criteria",
        type=CriterionType(),
        multiple=True,
        help="Only what matches: part of the value, or a glob that matches all of it; an empty "
        f"pattern matches an empty value. May be repeated. Keys: {', '.join(KEYS)}.",
    )(command)


def inventory_of_all(
    wishes: Wanted, bundle: ClientBundle | None, timeout_s: float, kinds: Collection[str]
) -> Inventory:
    """Return what all known hosts have of these kinds."""
    from usbshare.bridge.hosts import survey  # noqa: PLC0415 - `stop` needs none of it

    settings, used = wishes.defaults.settings, _used_before(wishes)
    with told_if_slow(f"looking for hosts, at most {timeout_s:g} s"):
        return run(survey.survey_all(settings, used, bundle, timeout_s, kinds))


def inventory_of(
    context: click.Context, wishes: Wanted, bundle: ClientBundle | None, timeout_s: float
) -> Inventory:
    """Return what the host has that was asked for, else all have; warns of hosts left out.

    Raises UsbshareError when the one that was asked for does not answer.
    """
    from usbshare.bridge.hosts import survey  # noqa: PLC0415 - `stop` needs none of it

    if wishes.is_asked:
        target = resolved(context, wishes, bundle)
        camera_port = _camera_port(wishes, target.name)
        with told_if_slow(f"waiting for {target} to answer"):
            return run(survey.survey_one(target, bundle, timeout_s, camera_port))
    inventory = inventory_of_all(wishes, bundle, timeout_s, survey.EVERYTHING)
    _warn_of_those_left_out(inventory, bundle)
    return inventory


def survey_again(
    wishes: Wanted, bundle: ClientBundle | None, timeout_s: float
) -> Callable[[], Coroutine[Any, Any, Inventory]]:
    """Return what asks all known hosts again."""
    from usbshare.bridge.hosts import survey  # noqa: PLC0415 - `stop` needs none of it

    settings, used = wishes.defaults.settings, _used_before(wishes)
    return lambda: survey.survey_all(settings, used, bundle, timeout_s)


def check_match(context: click.Context) -> None:
    """Refuse what `--match` and `--first` of the bare bridge cannot go with."""
    given = context.params
    if given["first"] and not given["criteria"]:
        raise click.UsageError("'--first' chooses among several matches: give '--match' too.")
    if not given["criteria"]:
        return
    if context.invoked_subcommand is not None:
        raise click.UsageError(
            f"Give '--match' after '{context.invoked_subcommand}', if that command has it."
        )
    if context.get_parameter_source("port") is ParameterSource.COMMANDLINE:
        raise click.UsageError("Give either '--match' or '--port'.")


def connection_of_match(
    context: click.Context, wishes: Wanted, criteria: Sequence[Criterion], *, first: bool
) -> tuple[Target, ClientBundle | None, str]:
    """Return where the port is that matches, with which trust, and its id.

    NotFoundError shows what there is instead.
    """
    from usbshare.bridge.hosts.picking import pick  # noqa: PLC0415 - `stop` needs none of it

    bundle = trust(wishes)
    inventory = inventory_of(context, wishes, bundle, DEFAULT_TIMEOUT_S)
    item = pick(inventory, criteria, first=first)
    warn(f"port {item.port.id!r} of {item.host} matches")
    return item.target, bundle, item.port.id


def _camera_port(wishes: Wanted, name: str) -> int:
    """Return where the cameras are of a host of `[hosts]`; 0 if unknown."""
    settings = wishes.defaults.settings_if_any
    named = {known.casefold(): host for known, host in settings.hosts.items()} if settings else {}
    host = named.get(name.casefold())
    return host.camera if host else 0


def _used_before(wishes: Wanted) -> list[Target]:
    """Return the configured and the last target, as far as they are addresses or DNS names."""
    last, targets = wishes.defaults.last, []
    for text, tls_name, name in (
        (last.target, last.tls_name, last.name),
        (wishes.defaults.target, "", ""),
    ):
        with suppress(InvalidArgumentError):  # none, or a friendly name, which discovery knows
            targets.append(Target(*_place(text), tls_name, name))
    return targets


def _place(text: str) -> tuple[str, int]:
    target = parse_target(text)
    return target.host, target.port


def _warn_of_those_left_out(inventory: Inventory, bundle: ClientBundle | None) -> None:
    for failure in inventory.failures:
        reason = " ".join(failure.reason.split())
        is_named = failure.host.name in reason
        warn(reason if is_named else f"{failure.host.name}: {reason}")
    warn_of_foreign(inventory, bundle)


def warn_of_foreign(inventory: Inventory, bundle: ClientBundle | None) -> None:
    """Name the hosts that were not asked, as they are of another site."""
    if inventory.foreign:
        why = (
            "of another site; needs its client.pem (--bundle)"
            if bundle
            else "not without TLS (--insecure)"
        )
        warn(f"not asked, because {why}: {', '.join(inventory.foreign)}")
