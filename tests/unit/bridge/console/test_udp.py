"""Senders of datagrams are forgotten 60 s after their last word, and not before."""

from __future__ import annotations

import asyncio
from typing import Any

from fakes.virtual_time import run_in_virtual_time
from usbshare.bridge.console.conversation import Face
from usbshare.bridge.console.udp import ConsoleDatagrams
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress

FIRST, SECOND = ("127.0.0.1", 4001), ("127.0.0.1", 4002)


class Talks:
    """The conversations there are, and what they were told."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.taken: list[tuple[str, str]] = []

    def begin(self, face: Face) -> Any:
        talks = self
        talks.open.append(face.name)

        class Talk:
            def take(self, text: str) -> None:
                talks.taken.append((face.name, text))

            async def close(self) -> None:
                talks.open.remove(face.name)

        return Talk()


async def play(talks: Talks) -> None:
    loop = asyncio.get_running_loop()
    server = ConsoleDatagrams(LoopbackAddress("127.0.0.1", 0), talks.begin, loop.time)
    server.datagram_received(b"status\n", FIRST)
    await asyncio.sleep(30)
    server.datagram_received(b"status\n", SECOND)
    await asyncio.sleep(29)
    assert talks.open == ["udp 127.0.0.1:4001", "udp 127.0.0.1:4002"]
    await asyncio.sleep(2)
    assert talks.open == ["udp 127.0.0.1:4002"]
    server.datagram_received(b"help\n", SECOND)  # which renews it
    await asyncio.sleep(58)
    assert talks.open == ["udp 127.0.0.1:4002"]
    await asyncio.sleep(3)
    assert talks.open == []
    server.datagram_received(b"back\n", FIRST)
    await asyncio.sleep(0)
    assert talks.open == ["udp 127.0.0.1:4001"]
    await server.close()


def test_a_sender_is_forgotten_after_sixty_seconds_of_silence() -> None:
    talks = Talks()
    run_in_virtual_time(play(talks))
    assert talks.open == []
    assert [text.strip() for _, text in talks.taken] == ["status", "status", "help", "back"]
