"""What pages ask for, where nothing reads the answers."""

from __future__ import annotations

import json

import pytest

from usbshare.page.v1 import page_pb2
from usbshare.panel.api.requests import MOST_AT_ONCE, PageRequests
from usbshare.panel.outbox import Outbox
from usbshare.panel.socket import Page

FRAMES = {
    "unknown": '{{"id": {}, "flyToTheMoon": {{}}}}',
    "no action": '{{"id": {}}}',
    "not served": '{{"id": {}, "ping": {{}}}}',
    "no JSON object": '{{"id": {}, "stop": 7}}',
}


def page() -> Page:
    """Return a page that reads nothing."""
    return Page(Outbox(), is_local=True)


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
async def test_a_request_that_is_not_understood_gets_a_bounded_answer(frame: str) -> None:
    requests, mute = PageRequests({}), page()
    for number in range(1, 10 * MOST_AT_ONCE):
        requests.received(mute, frame.format(number))
    assert mute.outbox.answers == MOST_AT_ONCE
    frames = [json.loads(await mute.outbox.next()) for _ in range(MOST_AT_ONCE + 1)]
    numbers = [each["answer"]["requestId"] for each in frames]
    assert numbers == [*range(1, MOST_AT_ONCE + 1), 10 * MOST_AT_ONCE - 1]


async def test_a_panel_that_ends_begins_nothing_but_stops() -> None:
    done: list[str] = []

    async def handled(page: Page, asked: object, request_id: int) -> page_pb2.Answer:
        done.append(type(asked).__name__)
        return page_pb2.Answer()

    requests, mute = PageRequests({"home": handled, "stop": handled}), page()
    requests.end()
    requests.received(mute, '{"id": 1, "home": {}}')
    requests.received(mute, '{"id": 2, "stop": {"action": "STOP_ACTION_HOLD"}}')
    requests.received(mute, '{"id": 3, "stop": {"action": "STOP_ACTION_RESUME"}}')
    await requests.close()
    assert done == ["Stop"]
    answers = [json.loads(await mute.outbox.next())["answer"] for _ in range(3)]
    failed = {each["requestId"]: each["failure"]["text"] for each in answers if "failure" in each}
    assert failed == dict.fromkeys((1, 3), "the panel is stopping")
