"""Which instances a client wants to see."""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from dataclasses import dataclass, field

from usbshare.hosts.instance import Instance, Kind

_MOST_PATTERN = 255  # characters; a longer one could match no name that a shorter could not


@dataclass(frozen=True, slots=True)
class Filter:
    """What is left out matches all.

    `name_pattern`: a glob for the whole name if it has `*`, `?` or `[`, else a part of the name;
    case does not matter. `site`: the fingerprint or its beginning.
    """

    kind: Kind | None = None
    name_pattern: str = ""
    site: str = ""
    _name: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_name", re.compile(_expression(self.name_pattern)))

    def matches(self, instance: Instance) -> bool:
        """Return whether the instance is wanted."""
        return (
            (self.kind is None or instance.port_of(self.kind) is not None)
            and (not self.site or instance.site.startswith(self.site.casefold()))
            and (not self.name_pattern or self._name.search(_folded(instance.name)) is not None)
        )


def _expression(pattern: str) -> str:
    folded = _folded(pattern[:_MOST_PATTERN])
    if any(each in folded for each in "*?["):
        return rf"\A{fnmatch.translate(folded)}"
    return re.escape(folded)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
