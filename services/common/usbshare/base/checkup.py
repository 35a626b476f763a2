"""A check-up: checks made in order, each with a verdict, what was measured, and the remedy."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from usbshare.base.errors import UsbshareError

_log = logging.getLogger(__name__)

LONGEST_STEP_S = 30.0


class Verdict(Enum):
    """What a check came to; the value is how a person reads it."""

    OK = "ok"
    WARNING = "warn"
    FAILURE = "FAIL"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, what it was measured by, and what to do unless all is well."""

    verdict: Verdict
    measured: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A judgement with the name of what was judged."""

    name: str
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Step:
    """A check to be made, but not when one of those that it needs failed or was skipped."""

    name: str
    judge: Callable[[], Awaitable[Judgement]]
    needs: tuple[str, ...] = ()


def fine(measured: str) -> Judgement:
    """Return that all is well."""
    return Judgement(Verdict.OK, measured)


def warning(measured: str, remedy: str) -> Judgement:
    """Return that it works, but not as it should."""
    return Judgement(Verdict.WARNING, measured, remedy)


def failure(measured: str, remedy: str) -> Judgement:
    """Return that it does not work."""
    return Judgement(Verdict.FAILURE, measured, remedy)


def skipped(cause: str) -> Judgement:
    """Return that it cannot be checked because of another check."""
    return Judgement(Verdict.SKIPPED, f"because of: {cause}")


def failure_of(error: Exception | str) -> Judgement:
    """Return a failure from the text of an error, which says `what: what to do`."""
    measured, _, remedy = str(error).partition(": ")
    return failure(measured, remedy)


async def examine(
    steps: Sequence[Step], longest_step_s: float = LONGEST_STEP_S
) -> AsyncIterator[Check]:
    """Make the checks in their order; none keeps the others from being made.

    One that fails with exactly the words of an earlier one has the same cause: that is shown.
    """
    broken: dict[str, str] = {}
    told: dict[str, str] = {}
    for step in steps:
        cause = next((broken[need] for need in step.needs if need in broken), "")
        judgement = skipped(cause) if cause else _printable(await _judge(step, longest_step_s))
        if judgement.verdict is Verdict.FAILURE:
            first = told.setdefault(judgement.measured, step.name)
            judgement = judgement if first == step.name else skipped(first)
        if judgement.verdict in (Verdict.FAILURE, Verdict.SKIPPED):
            broken[step.name] = cause or step.name
        yield Check(step.name, judgement)


async def check_up(
    steps: Sequence[Step], write: Callable[[str], object], *, as_json: bool = False
) -> bool:
    """Make the checks and write each as it is made, or all as JSON; True if none failed."""
    width = max((len(step.name) for step in steps), default=0)
    checks = []
    async for check in examine(steps):
        checks.append(check)
        if not as_json:
            write(_lines(check, width))
    is_well = all(check.judgement.verdict is not Verdict.FAILURE for check in checks)
    if as_json:
        found = [_object(check) for check in checks]
        write(json.dumps({"ok": is_well, "checks": found}, indent=2, ensure_ascii=False))
    return is_well


async def _judge(step: Step, longest_s: float) -> Judgement:
    try:
        async with asyncio.timeout(longest_s):
            return await step.judge()
    except TimeoutError:
        return failure(f"no answer within {longest_s:g} s", "try again; the network may be hanging")
    except UsbshareError as error:
        return failure_of(error)
    except Exception as error:  # one check that stumbles must not hide the others
        _log.debug("the check of %s failed", step.name, exc_info=error)
        return failure(f"the check itself failed ({error!r})", "report this as a bug")


def _lines(check: Check, width: int) -> str:
    judgement = check.judgement
    line = f"{judgement.verdict.value:<4}  {check.name:<{width}}  {judgement.measured}".rstrip()
    return f"{line}\n{'':{width + 8}}-> {judgement.remedy}" if judgement.remedy else line


def _object(check: Check) -> dict[str, Any]:
    judgement = check.judgement
    return {
        "check": check.name,
        "verdict": judgement.verdict.value.lower(),
        "measured": judgement.measured,
        "remedy": judgement.remedy,
    }


def _printable(judgement: Judgement) -> Judgement:
    """Return it without what could steer a terminal: much of it is what others say."""
    return Judgement(judgement.verdict, _clean(judgement.measured), _clean(judgement.remedy))


def _clean(text: str) -> str:
    one_line = "; ".join(text.splitlines())
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in one_line)
