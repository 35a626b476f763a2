"""What gRPC reads from the environment when it is imported, and only then."""

from __future__ import annotations

import importlib.util
import mmap
import os
from pathlib import Path

_WANTED = {
    "GRPC_DNS_RESOLVER": "native",  # resolve names as other programs do, `.local` too
    "GRPC_VERBOSITY": "NONE",  # a refused handshake is explained by us, in one line
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}
# The older poller hands over between fewer threads: a fifth less round trip, see decision 0006.
_EVENT_ENGINE = ("event_engine_client", "event_engine_listener", "event_engine_callback_cq")


def prepare_grpc() -> None:
    """Set what nobody has set; call before grpc is imported for the first time."""
    for name, value in _WANTED.items():
        os.environ.setdefault(name, value)
    if "GRPC_EXPERIMENTS" not in os.environ and _core_knows(_EVENT_ENGINE):
        os.environ["GRPC_EXPERIMENTS"] = ",".join(f"-{name}" for name in _EVENT_ENGINE)


def _core_knows(experiments: tuple[str, ...]) -> bool:
    """Tell whether the installed gRPC has these experiments; it complains of others aloud."""
    core = _core_library()
    if core is None:
        return False
    with core.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code:
        return all(code.find(name.encode() + b"\0") >= 0 for name in experiments)


def _core_library() -> Path | None:
    spec = importlib.util.find_spec("grpc")
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "_cython").glob("cygrpc*"), None)
