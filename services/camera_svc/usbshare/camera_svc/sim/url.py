"""`sim://bed` URLs: which simulated camera."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from usbshare.base.errors import ConfigError
from usbshare.camera_svc.capture.frame_source import PixelFormat

SCHEME = "sim://"

_WIDTHS, _HEIGHTS, _RATES = (160, 7680), (120, 4320), (2.0, 240.0)
_FLATTEST = 4


_DEFAULTS = {"width": "1280", "height": "720", "fps": "30", "format": PixelFormat.RAW.value}


@dataclass(frozen=True, slots=True)
class SimUrl:
    """What a `sim://bed` URL asks for."""

    width: int
    height: int
    fps: float
    format: PixelFormat


def parse_sim_url(url: str) -> SimUrl:
    """Take `sim://bed?width=1280&height=720&fps=30&format=mjpeg` apart; raises ConfigError."""
    parts = urlsplit(url)
    if not url.startswith(SCHEME) or parts.netloc != "bed" or parts.path not in ("", "/"):
        raise ConfigError(f"source '{url}': the only simulated camera is sim://bed")
    options = _options(url, parts.query)
    width = int(_number(url, options, "width", _WIDTHS))
    height = int(_number(url, options, "height", _HEIGHTS))
    if width > _FLATTEST * height:
        raise ConfigError(f"source '{url}': width must be at most {_FLATTEST} times the height")
    fps = _number(url, options, "fps", _RATES)
    return SimUrl(width, height, fps, _format(url, options["format"]))


def _options(url: str, query: str) -> dict[str, str]:
    given = dict(parse_qsl(query, keep_blank_values=True))
    for key in given:
        if key not in _DEFAULTS:
            known = ", ".join(_DEFAULTS)
            raise ConfigError(f"source '{url}': '{key}' is not an option; the options are {known}")
    return _DEFAULTS | given


def _number(url: str, options: dict[str, str], key: str, bounds: tuple[float, float]) -> float:
    least, most = bounds
    try:
        value = float(options[key])
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise ConfigError(
            f"source '{url}': {key} must be {least:g} to {most:g}, not '{options[key]}'"
        )
    return value


def _format(url: str, text: str) -> PixelFormat:
    try:
        return PixelFormat(text)
    except ValueError:
        known = " or ".join(known.value for known in PixelFormat)
        raise ConfigError(f"source '{url}': format must be {known}, not '{text}'") from None
