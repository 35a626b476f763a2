"""`[audit]` of the configuration: how much of the audit log is kept, and what it holds."""

from __future__ import annotations

from pydantic import Field

from usbshare.common.config import Table


class AuditTable(Table):
    """`[audit]`: a full file is put aside, and the newest `keep` of those stay."""

    max_bytes: int = Field(default=10_000_000, ge=4096, le=1_000_000_000)
    keep: int = Field(default=20, ge=1, le=10_000)
    contents: bool = False
