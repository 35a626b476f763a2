"""`sim://` URLs: a simulated controller wherever a device path is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from usbshare.base.errors import InvalidArgumentError
from usbshare.sim.firmware import FIRMWARES

_KEYS = ("record", "reset_on_dtr", "homing")
_FLAGS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class SimUrl:
    """The parts of a `sim://` URL."""

    firmware: str
    record: Path | None = None
    reset_on_dtr: bool = False
    homing: bool = False


def parse_sim_url(url: str) -> SimUrl:
    """Take a URL such as `sim://grbl?record=/tmp/r.jsonl&reset_on_dtr=1` apart.

    Raises InvalidArgumentError, which names the URL and the correct form.
    """
    parts = urlsplit(url)
    if parts.scheme != "sim":
        raise _wrong(url, "it must begin with sim://")
    if parts.netloc not in FIRMWARES or parts.path not in ("", "/"):
        raise _wrong(url, "it must be " + " or ".join(f"sim://{name}" for name in FIRMWARES))
    options = _options(url, parts.query)
    record = options.get("record")
    if "homing" in options and parts.netloc != "grbl":
        raise _wrong(url, "homing is an option of sim://grbl")
    return SimUrl(
        parts.netloc,
        Path(record) if record else None,
        _flag(url, options, "reset_on_dtr"),
        _flag(url, options, "homing"),
    )


def _options(url: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for key in options:
        if key not in _KEYS:
            raise _wrong(url, f"'{key}' is not an option; the options are {', '.join(_KEYS)}")
    if options.get("record") == "":
        raise _wrong(url, "record must be a path")
    return options


def _flag(url: str, options: dict[str, str], name: str) -> bool:
    text = options.get(name, "0")
    if text not in _FLAGS:
        raise _wrong(url, f"{name} must be one of {', '.join(_FLAGS)}")
    return _FLAGS[text]


def _wrong(url: str, reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"device '{url}': {reason}")
