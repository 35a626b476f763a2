"""What a policy file holds, table by table; each mistake has its own message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from usbshare.authorization.rights import Right
from usbshare.authorization.schedule import end_of, parse_duration_s, parse_hours
from usbshare.base.config import Table
from usbshare.trust.names import SCHEME, is_name, is_uri

ANYBODY = "*"
_DEFAULT_CONFIRM_FOR = "8h"


def _kept_if(check: Callable[[str], object]) -> AfterValidator:
    def validate(text: str) -> str:
        check(text)
        return text

    return AfterValidator(validate)


def _check_who(text: str) -> None:
    if text == ANYBODY or is_uri(text) or (is_name(text) and not text.startswith(SCHEME)):
        return
    raise ValueError("not a group, a name, an identity such as usbshare://SITE/NAME, or '*'")


def _require_moment(value: Any) -> Any:
    if not isinstance(value, date):
        raise ValueError("write a date or date and time, without quotes, as in 2026-12-31T18:00:00")
    try:
        end_of(value).astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        raise ValueError(
            "the date is out of range: leave it out for a grant that does not expire"
        ) from None
    return value


def _check_hex4(text: str) -> None:
    if len(text) != 4 or not set(text.lower()) <= set("0123456789abcdef"):
        raise ValueError("write four hexadecimal digits, as in '1a86'")


Who = Annotated[str, _kept_if(_check_who)]
Hours = Annotated[str, _kept_if(parse_hours)]
Duration = Annotated[str, _kept_if(parse_duration_s)]
Moment = Annotated[datetime | date, BeforeValidator(_require_moment)]
UsbNumber = Annotated[str, _kept_if(_check_hex4)]


class GrantTable(Table):
    """`[[grants]]`: rights of identities on ports, cameras and USB devices, with optional times.

    USB devices are granted only where `usb` says so: grants from before usb-svc gave none.
    """

    who: list[Who] = Field(min_length=1)
    rights: list[Right] = Field(min_length=1)
    ports: list[str] = Field(default_factory=lambda: ["*"])
    cameras: list[str] = Field(default_factory=lambda: ["*"])
    usb: list[str] = Field(default_factory=list)
    until: Moment | None = None
    hours: list[Hours] | None = Field(default=None, min_length=1)
    confirm: Literal["totp"] | None = None
    confirm_for: Duration = _DEFAULT_CONFIRM_FOR

    @model_validator(mode="after")
    def _confirms(self) -> GrantTable:
        if "confirm_for" in self.model_fields_set and self.confirm is None:
            raise ValueError('confirm_for requires confirm = "totp"')
        if self.confirm and not {Right.CONTROL, Right.ADMIN} & set(self.rights):
            raise ValueError(
                "confirm applies only to the rights control and admin, and this grant has neither"
            )
        return self


class LimitsTable(Table):
    """`[limits]`: how much one identity may use of one service."""

    connections: int = Field(default=64, ge=1)
    streams: int = Field(default=128, ge=1)
    requests_per_s: float = Field(default=100, ge=1)
    commands_per_s: float = Field(default=5_000, ge=1)
    bytes_per_s: float = Field(default=4_000_000, ge=1)


class AllowedDevice(Table):
    """`[[allowed_devices]]`: a USB device that may be offered; every given key must match."""

    vid: UsbNumber | None = None
    pid: UsbNumber | None = None
    serial: str | None = None
    path: str | None = None
    note: str = ""

    @model_validator(mode="after")
    def _names_something(self) -> AllowedDevice:
        if not any((self.vid, self.pid, self.serial, self.path)):
            raise ValueError("give vid, pid, serial or path")
        return self
