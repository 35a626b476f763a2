"""The command line of a stop, read without a parser of command lines, which takes its time.

Only what stops, and is plain: for all else, and for every mistake, `read_stop` returns None, and
the full command line answers. A test compares the options with those of the full one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from usbshare.line.stop_actions import StopAction

COMMAND = "stop"
ACTIONS = {
    "--hold": StopAction.HOLD,
    "--door": StopAction.SAFETY_DOOR,
}
FLAGS = frozenset({*ACTIONS, "--insecure", "--json"})
# Those of the bridge itself may be before `stop`.
FLAGS_BEFORE = frozenset({"--insecure", "--json"})
BEFORE = frozenset({"--target", "--bundle", "--port", "--config"})
AFTER = frozenset({"--target", "--bundle", "--port", "--reason"})
# What takes a value before `stop`, though a stop has no use for it.
BEFORE_UNUSED = frozenset({"--vcom", "--usb-port", "--tcp", "--rfc2217", "--match", "--code"})
# Its value may be left out, before another option.
BEFORE_OPTIONAL = frozenset({"--buffered"})
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"", "0", "false", "f", "no", "n", "off"})


@dataclass(frozen=True, slots=True)
class StopWish:
    """What to do to which port where; what was not given is empty."""

    action: StopAction = StopAction.EMERGENCY_STOP
    target: str = ""
    bundle: str = ""
    config: str = ""
    port: str = ""
    reason: str = ""
    insecure: bool = False
    as_json: bool = False


@dataclass(slots=True)
class _Said:
    """Options of one part of the command line, the last one of each counts."""

    values: dict[str, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)


def is_stop(arguments: Sequence[str]) -> bool:
    """Return whether the subcommand is `stop`."""
    position = _position(arguments)
    return position is not None and arguments[position] == COMMAND


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Return whether nothing but help is asked for; in doubt it is a stop."""
    may_be_value = len(arguments) > 1 and arguments[-2].startswith("-")
    return not may_be_value and arguments[-1:] in (["--help"], ["-h"])


def read_stop(arguments: Sequence[str], environment: Mapping[str, str]) -> StopWish | None:
    """Return what a plain command line asks for, None where it is anything else."""
    position = _position(arguments)
    insecure = environment.get("USBSHARE_INSECURE", "").strip().lower()
    if position is None or insecure not in _TRUE | _FALSE:
        return None
    before = _read(arguments[:position], BEFORE, FLAGS_BEFORE)
    after = _read(arguments[position + 1 :], AFTER, FLAGS)
    actions = [ACTIONS[flag] for flag in (after.flags if after else ()) if flag in ACTIONS]
    if before is None or after is None or len(set(actions)) > 1:
        return None

    def value(name: str) -> str:
        variable = environment.get(f"USBSHARE_{name.upper()}", "")
        return after.values.get(f"--{name}", before.values.get(f"--{name}", variable))

    return StopWish(
        action=actions[0] if actions else StopAction.EMERGENCY_STOP,
        target=value("target"),
        bundle=value("bundle"),
        config=before.values.get("--config", ""),
        port=value("port"),
        reason=after.values.get("--reason", ""),
        insecure="--insecure" in (*before.flags, *after.flags) or insecure in _TRUE,
        as_json="--json" in (*before.flags, *after.flags),
    )


def _position(arguments: Sequence[str]) -> int | None:
    """Return the position of the subcommand."""
    takes_value, before = BEFORE | BEFORE_UNUSED, ""
    for position, argument in enumerate(arguments):
        is_option = argument.startswith("-")
        if before in takes_value or (before in BEFORE_OPTIONAL and not is_option):
            before = ""
        elif not is_option:
            return position
        else:
            before = argument
    return None


def _read(
    arguments: Sequence[str], takes_value: frozenset[str], flags: frozenset[str]
) -> _Said | None:
    """Return what is said in plain words: `--name value`, `--name=value`, `--flag`."""
    said, rest = _Said(), iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in takes_value:
            given = value if equals else next(rest, None)
            if given is None:
                return None
            said.values[name] = given
        elif argument in flags:
            said.flags.append(argument)
        else:
            return None
    return said
