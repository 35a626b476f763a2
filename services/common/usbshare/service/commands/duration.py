"""Times on the command line."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from usbshare.authorization.schedule import parse_duration_s


class Duration(click.ParamType[timedelta]):
    """A time such as 10m, 8h or 90d, as a timedelta."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read the value; a wrong one is bad usage."""
        if isinstance(value, timedelta):
            return value
        try:
            return timedelta(seconds=parse_duration_s(value))
        except (ValueError, OverflowError) as error:
            self.fail(f"{value!r}: {error}", param, ctx)
