from __future__ import annotations

import json

from usbshare.panel.local_ports.wish import BridgeNews


def test_a_held_machine_is_said_in_the_panels_words() -> None:
    news = BridgeNews()
    event = {"event": "held", "text": "a stop holds it: `usbshare-bridge stop --resume` continues"}
    news.heard(json.dumps(event).encode())
    assert news.reason
    assert "usbshare-bridge" not in news.reason
    news.heard(b'{"event": "released", "text": "nothing is held now"}')
    assert news.reason == ""
