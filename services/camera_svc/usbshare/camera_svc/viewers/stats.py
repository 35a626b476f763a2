"""Who watches a camera, and what reaches each of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from usbshare.camera_svc.viewers.viewer import Viewer

_MOST_REMEMBERED = 64
_OLDEST_S = 2.0


@dataclass(frozen=True, slots=True)
class Client:
    """Who watches: what it calls itself, who it is, and from where."""

    name: str
    identity: str
    peer: str

    def __str__(self) -> str:
        named = f" ({self.name})" if self.name else ""
        return f"{self.identity}{named} at {self.peer}"


class SendRate:
    """How many frames a second are sent, over the last 2 s at most."""

    def __init__(self) -> None:
        self._sent: deque[float] = deque(maxlen=_MOST_REMEMBERED)

    def sent(self, now: float) -> None:
        """Count a frame."""
        self._sent.append(now)

    def fps(self, now: float) -> float:
        """Return the rate; 0 while there are fewer than two frames."""
        while self._sent and now - self._sent[0] > _OLDEST_S:
            self._sent.popleft()
        if len(self._sent) < 2:
            return 0.0
        return (len(self._sent) - 1) / max(self._sent[-1] - self._sent[0], 1e-3)


@dataclass(slots=True, eq=False)
class Watcher:
    """One viewer with its client; `camera_changed` is called when the camera's state is another."""

    client: Client
    viewer: Viewer
    camera_changed: Callable[[], None]
    rate: SendRate = field(default_factory=SendRate)
