"""`[audit]` of the configuration: how much of the audit log is kept, and what it holds."""

from __future__ import annotations

from pydantic import Field

from usbshare.base.config import Table


class AuditTable(Table):
    """`[audit]`: a full file is put aside; the newest `keep` stay, and all of `keep_days`.

    One identity may write `identity_bytes_a_day` in whole lines; what is over is counted.
    """

    max_bytes: int = Field(default=10_000_000, ge=4096, le=1_000_000_000)
    keep: int = Field(default=20, ge=1, le=10_000)
    keep_days: int = Field(default=30, ge=0, le=36_500)
    identity_bytes_a_day: int = Field(default=2_000_000, ge=10_000, le=1_000_000_000)
    contents: bool = False
