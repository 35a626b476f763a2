"""What gRPC reads from the environment when it is imported, and only then."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_WANTED = {
    "GRPC_DNS_RESOLVER": "native",  # resolve names as other programs do, `.local` too
    "GRPC_VERBOSITY": "NONE",  # a refused handshake is explained by us, in one line
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}
# Without them the older poller is used. It hands over between fewer threads, a fifth less round
# trip; but one connection can keep it busy indefinitely: for clients only, see decision 0006.
_EVENT_ENGINE = ("event_engine_client", "event_engine_listener", "event_engine_callback_cq")
_OLDER_POLLER = ",".join(f"-{name}" for name in _EVENT_ENGINE)
_TRACE = {"GRPC_VERBOSITY": "INFO", "GRPC_TRACE": "handshaker"}


def prepare_grpc() -> None:
    """Set what is not set yet, for a client; call before grpc is imported for the first time."""
    _set_defaults()
    if "GRPC_EXPERIMENTS" not in os.environ and _core_knows(_EVENT_ENGINE):
        os.environ["GRPC_EXPERIMENTS"] = _OLDER_POLLER


def prepare_grpc_for_one_call() -> None:
    """Set what is not set yet, for a process that makes one call and looks at no file before."""
    _set_defaults()


def prepare_grpc_to_serve() -> None:
    """Set what is not set yet, for a process that serves, as `prepare_grpc` does for a client."""
    _set_defaults()
    if os.environ.get("GRPC_EXPERIMENTS") == _OLDER_POLLER:  # a client of ours started this
        del os.environ["GRPC_EXPERIMENTS"]


def _set_defaults() -> None:
    for name, value in _WANTED.items():
        os.environ.setdefault(name, value)


def trace_handshakes() -> None:
    """Make gRPC report on stderr why handshakes fail; `handshakes.reporting` reads that.

    For processes that serve; call after
    `prepare_grpc_to_serve` and before grpc is imported. What the user
    has set stays, and is not read then. Without pipes that never block nothing can be read either.
    """
    is_ours = os.environ.get("GRPC_VERBOSITY") == _WANTED["GRPC_VERBOSITY"]
    is_free = is_ours and "GRPC_TRACE" not in os.environ and "grpc" not in sys.modules
    if is_free and hasattr(os, "set_blocking"):
        os.environ.update(_TRACE)


def traces_handshakes() -> bool:
    """Return whether gRPC was imported so that it says why handshakes fail, and nothing else."""
    return all(os.environ.get(name) == value for name, value in _TRACE.items())


def _core_knows(experiments: tuple[str, ...]) -> bool:
    """Return whether the installed gRPC has these experiments; it warns about unknown ones."""
    import mmap  # noqa: PLC0415 - a stop does not wait for it

    core = _core_library()
    if core is None:
        return False
    with core.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code:
        return all(code.find(name.encode() + b"\0") >= 0 for name in experiments)


def _core_library() -> Path | None:
    import importlib.util  # noqa: PLC0415 - see above
    from pathlib import Path  # noqa: PLC0415

    spec = importlib.util.find_spec("grpc")
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "_cython").glob("cygrpc*"), None)
