"""What a check-up makes of its checks, whatever they do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from usbshare.base.checkup import (
    Check,
    Judgement,
    Step,
    Verdict,
    check_up,
    examine,
    failure,
    failure_of,
    fine,
    warning,
)
from usbshare.base.errors import ConfigError


def answer(judgement: Judgement) -> Callable[[], Awaitable[Judgement]]:
    async def judge() -> Judgement:
        return judgement

    return judge


def raising(error: Exception) -> Callable[[], Awaitable[Judgement]]:
    async def judge() -> Judgement:
        raise error

    return judge


GOOD = answer(fine("all well"))
BAD = answer(failure("it is broken", "mend it"))


async def made(*steps: Step, longest_step_s: float = 30) -> list[Check]:
    return [check async for check in examine(steps, longest_step_s)]


async def test_checks_are_made_in_their_order_though_one_fails() -> None:
    checks = await made(Step("first", BAD), Step("second", GOOD))
    assert [(c.name, c.judgement.verdict) for c in checks] == [
        ("first", Verdict.FAILURE),
        ("second", Verdict.OK),
    ]


async def test_a_check_whose_need_failed_is_skipped_and_names_the_first_cause() -> None:
    checks = await made(
        Step("network", BAD), Step("service", GOOD, ("network",)), Step("port", GOOD, ("service",))
    )
    assert [c.judgement.verdict for c in checks[1:]] == [Verdict.SKIPPED, Verdict.SKIPPED]
    assert [c.judgement.measured for c in checks[1:]] == ["because of: network"] * 2


async def test_a_warning_keeps_nothing_from_being_checked() -> None:
    checks = await made(
        Step("first", answer(warning("odd", "look"))), Step("second", GOOD, ("first",))
    )
    assert checks[1].judgement.verdict is Verdict.OK


async def test_an_error_becomes_what_was_measured_and_the_remedy() -> None:
    (check,) = await made(Step("file", raising(ConfigError("x.toml is bad: mend it: now"))))
    assert check.judgement == failure("x.toml is bad", "mend it: now")
    assert failure_of("no remedy known") == failure("no remedy known", "")


async def test_a_check_that_stumbles_does_not_hide_the_others() -> None:
    checks = await made(Step("first", raising(ZeroDivisionError("oh"))), Step("second", GOOD))
    assert checks[0].judgement.verdict is Verdict.FAILURE
    assert "ZeroDivisionError('oh')" in checks[0].judgement.measured
    assert checks[1].judgement.verdict is Verdict.OK


async def test_a_check_that_hangs_is_given_up() -> None:
    async def hang() -> Judgement:
        await asyncio.Event().wait()
        raise AssertionError

    (check,) = await made(Step("slow", hang), longest_step_s=0.01)
    assert check.judgement.verdict is Verdict.FAILURE
    assert "no answer within 0.01 s" in check.judgement.measured


async def test_texts_of_others_cannot_act_on_the_terminal() -> None:
    hostile = answer(failure("held by \x1b[2J\u202eme\nand you", "\x07ring"))
    (check,) = await made(Step("port", hostile))
    assert check.judgement.measured == "held by \ufffd[2J\ufffdme; and you"
    assert check.judgement.remedy == "\ufffdring"


async def test_each_check_is_a_line_and_its_remedy_another() -> None:
    written: list[str] = []
    steps = [Step("network", GOOD), Step("tls", BAD), Step("port", GOOD, ("tls",))]
    assert not await check_up(steps, written.append)
    assert written == [
        "ok    network  all well",
        "FAIL  tls      it is broken\n               -> mend it",
        "skip  port     because of: tls",
    ]


async def test_a_checkup_with_only_warnings_passes() -> None:
    written: list[str] = []
    assert await check_up([Step("net", answer(warning("slow", "cable")))], written.append)
    assert written == ["warn  net  slow\n           -> cable"]


async def test_all_checks_are_one_json_object() -> None:
    written: list[str] = []
    steps = [Step("network", BAD), Step("tls", GOOD, ("network",))]
    assert not await check_up(steps, written.append, as_json=True)
    (text,) = written
    assert json.loads(text) == {
        "ok": False,
        "checks": [
            {
                "check": "network",
                "verdict": "fail",
                "measured": "it is broken",
                "remedy": "mend it",
            },
            {
                "check": "tls",
                "verdict": "skip",
                "measured": "because of: network",
                "remedy": "",
            },
        ],
    }
