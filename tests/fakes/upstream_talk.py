"""What a program gives to its upstream, and what that sends."""

from __future__ import annotations

from usbshare.client.serial.messages import Lost, Message, Waiting
from usbshare.client.serial.upstream import Upstream
from usbshare.line.credit import Credit
from usbshare.line.profiles import GRBL, RAW

NOW = 100.0
PLENTY = Credit(limit_offset=1 << 20, limit_commands=1000, consumed_offset=0)


def upstream(credit: Credit = PLENTY, *, grbl: bool = False) -> Upstream:
    made = Upstream()
    made.begin(epoch=3, profile=GRBL if grbl else RAW)
    made.credit(credit)
    return made


def taken(from_: Upstream, now: float = NOW) -> list[Message]:
    """Return all that goes but what is told of waiting and lost bytes."""
    return [each for each in all_taken(from_, now) if not isinstance(each, Waiting | Lost)]


def all_taken(from_: Upstream, now: float = NOW) -> list[Message]:
    messages = []
    while from_.wait_s(now) == 0:
        messages.append(from_.take(now))
    return messages


def resume(up: Upstream, offset: int, commands: int = 1, *, epoch: int = 3) -> int:
    up.lose_link()
    return up.resume(offset, commands, epoch=epoch, profile=up._profile)
