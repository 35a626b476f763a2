"""What the options of `usbshare-bridge camera` take."""

from __future__ import annotations

import re

import click

from usbshare.base.errors import InvalidArgumentError
from usbshare.bridge.camera.http_address import HttpAddress, http_address

LEAST_INTERVAL_S = 0.1
_UNITS_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h|)")


class IntervalType(click.ParamType[float]):
    """A time such as `10s`, `500ms`, `2m` or `1h`; a bare number is seconds."""

    name = "TIME"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds or fail."""
        if isinstance(value, float):
            return value
        match = _INTERVAL.fullmatch(value.strip().lower())
        seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
        if seconds < LEAST_INTERVAL_S:
            self.fail(f"{value!r} is no time of 100 ms or more, such as 10s or 2m", param, ctx)
        return seconds


class HttpAddressType(click.ParamType[HttpAddress]):
    """HOST:PORT of this computer; the port may be left out."""

    name = "HOST:PORT"

    def convert(
        self, value: str | HttpAddress, param: click.Parameter | None, ctx: click.Context | None
    ) -> HttpAddress:
        """Return the address or fail with what is wrong with it."""
        if isinstance(value, HttpAddress):
            return value
        try:
            return http_address(value)
        except InvalidArgumentError as error:
            self.fail(str(error), param, ctx)
