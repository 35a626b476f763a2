"""What gRPC reads from the environment when it is imported, and only then."""

from __future__ import annotations

import os

_WANTED = {
    "GRPC_DNS_RESOLVER": "native",  # resolve names as other programs do, `.local` too
    "GRPC_VERBOSITY": "NONE",  # a refused handshake is explained by us, in one line
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}


def prepare_grpc() -> None:
    """Set what nobody has set; call before grpc is imported for the first time."""
    for name, value in _WANTED.items():
        os.environ.setdefault(name, value)
