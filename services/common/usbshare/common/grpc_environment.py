"""What gRPC reads from the environment when it is imported, and only then."""

from __future__ import annotations

import os


def prefer_system_resolver() -> None:
    """Make gRPC resolve names as other programs do, `.local` too; call before importing grpc."""
    os.environ.setdefault("GRPC_DNS_RESOLVER", "native")
