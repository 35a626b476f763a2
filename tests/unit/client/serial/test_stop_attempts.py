"""When another attempt of a stop begins, and what ends them all; in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from fakes.virtual_time import run_in_virtual_time
from usbshare.client.serial.stop_attempts import Attempts
from usbshare.rpc.status import NAME_KEY

TIMEOUT_S = 60.0
LOST = (grpc.StatusCode.UNAVAILABLE, "recvmsg: Connection timed out", "")
REFUSED = (grpc.StatusCode.UNAVAILABLE, "connect: Connection refused", "")
NO_DEVICE = (grpc.StatusCode.UNAVAILABLE, "port 'laser' is absent", "DeviceError")
FORBIDDEN = (grpc.StatusCode.PERMISSION_DENIED, "no right to stop it", "")
TIME_IS_UP = (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", "")

Outcome = bytes | tuple[grpc.StatusCode, str, str]


@dataclass
class Service:
    """Answers each attempt after a time of its own; later ones as the last that is told."""

    plan: list[tuple[float, Outcome]]
    began_at: list[float] = field(default_factory=list)
    left_s: list[float] = field(default_factory=list)
    cancelled: int = 0

    async def attempt(self, left_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        after_s, outcome = self.plan[min(len(self.began_at), len(self.plan) - 1)]
        self.began_at.append(loop.time() - 1000.0)
        self.left_s.append(left_s)
        try:
            await asyncio.sleep(min(after_s, left_s))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if after_s >= left_s:
            outcome = TIME_IS_UP
        if isinstance(outcome, bytes):
            return outcome
        code, text, name = outcome
        raise AioRpcError(code, Metadata(), Metadata(*[(NAME_KEY, name)] if name else []), text)

    def reply(self, *, may_repeat: bool = True) -> bytes:
        async def run() -> bytes:
            made = Attempts(self.attempt, TIMEOUT_S, may_repeat=may_repeat)
            return await made.first_reply()

        return run_in_virtual_time(run())


def test_a_slow_attempt_continues_while_another_starts_beside_it() -> None:
    service = Service([(14.0, b"slow"), (50.0, b"slower")])
    assert service.reply() == b"slow"
    assert service.began_at == pytest.approx([0, 5], abs=0.1)
    assert service.cancelled == 1


def test_at_most_four_attempts_run_beside_one_another() -> None:
    service = Service([(100.0, b"never")])
    with pytest.raises(AioRpcError) as caught:
        service.reply()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert service.began_at == pytest.approx([0, 5, 15, 35], abs=0.1)
    assert service.left_s == pytest.approx([60, 55, 45, 25], abs=0.1)


def test_connections_may_be_lost_as_often_as_they_like_while_there_is_time() -> None:
    service = Service([(4.0, LOST)] * 6 + [(1.0, b"at last")])
    assert service.reply() == b"at last"
    assert len(service.began_at) == 7


def test_the_end_of_the_time_says_what_the_last_attempt_met() -> None:
    service = Service([(4.0, LOST)])
    with pytest.raises(AioRpcError):
        service.reply()
    assert len(service.began_at) >= 14


def test_an_immediate_refusal_is_reported_at_once() -> None:
    service = Service([(0.1, REFUSED)])
    with pytest.raises(AioRpcError, match="refused"):
        service.reply()
    assert len(service.began_at) == 1


def test_a_refusal_after_a_silence_is_tried_again_every_second() -> None:
    service = Service([(4.0, LOST)] + [(0.01, REFUSED)] * 3 + [(0.1, b"it is back")])
    assert service.reply() == b"it is back"
    assert service.began_at == pytest.approx([0, 4, 5, 6, 7], abs=0.1)


@pytest.mark.parametrize("answer", [NO_DEVICE, FORBIDDEN])
def test_an_answer_of_the_service_is_final_however_late(answer: Outcome) -> None:
    service = Service([(30.0, b"late"), (10.0, answer)])
    with pytest.raises(AioRpcError) as caught:
        service.reply()
    assert caught.value.details() == answer[1]
    assert service.cancelled == 2


@pytest.mark.parametrize("outcome", [LOST, TIME_IS_UP])
def test_a_stop_that_must_not_come_twice_is_tried_once(outcome: Outcome) -> None:
    service = Service([(20.0, outcome)])
    with pytest.raises(AioRpcError):
        service.reply(may_repeat=False)
    assert len(service.began_at) == 1


def test_a_reply_counts_although_another_attempt_is_refused_in_the_same_moment() -> None:
    service = Service([(10.0, b"done"), (5.0, FORBIDDEN)])
    assert service.reply() == b"done"
