from __future__ import annotations

from pathlib import Path

import pytest

from usbshare.panel.hosts.fleet import ADDED_HOSTS
from usbshare.panel.local_ports.wish import KEPT_WISHES, BridgeNews, PortKind, PortState, Wish
from usbshare.rpc.channel import Target

WISH = Wish("a1", "shop", "shop", "laser", PortKind.TCP, "127.0.0.1:23", True, True, 5.0)


def test_saved_entries_are_loaded_again(tmp_path: Path) -> None:
    ADDED_HOSTS.save(tmp_path, [Target("laser", 50051), Target("fe80::1", 7)])
    assert ADDED_HOSTS.load(tmp_path) == [Target("laser", 50051), Target("fe80::1", 7)]
    KEPT_WISHES.save(tmp_path, [WISH])
    assert KEPT_WISHES.load(tmp_path) == [WISH]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"added": 5, "local_ports": [5, {"id": 1}]}', b"\xff\xfe"]
)
def test_a_damaged_file_is_as_an_empty_one(tmp_path: Path, content: bytes) -> None:
    for name in (ADDED_HOSTS.file_name, KEPT_WISHES.file_name):
        (tmp_path / name).write_bytes(content)
    assert ADDED_HOSTS.load(tmp_path) == []
    assert KEPT_WISHES.load(tmp_path) == []


def test_the_output_of_a_bridge_gives_the_state_of_its_port() -> None:
    news = BridgeNews()
    news.heard(b'{"event": "ready", "text": "open it", "path": "/tmp/COM10"}')
    news.heard(b'{"event": "opened", "text": "", "path": "/tmp/COM10"}')
    assert (news.state, news.place, news.is_open) == (PortState.READY, "/tmp/COM10", True)
    news.heard(b'{"event": "lost", "text": "link lost: no route"}')
    assert news.reason == "link lost: no route"
    news.heard(b'{"event": "resumed", "text": "back"}')
    assert not news.reason
    news.heard(b'{"error": "the port is held by bench-3", "exit_code": 1}')
    news.ended()
    assert (news.state, news.reason) == (PortState.FAILED, "the port is held by bench-3")


@pytest.mark.parametrize("line", [b"", b"\xff", b"[]", b'{"event": 5}', b'{"event": "ready"}'])
def test_unexpected_output_does_no_harm(line: bytes) -> None:
    BridgeNews().heard(line)
