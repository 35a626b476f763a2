"""Identities as certificates hold them, `usbshare://SITE/NAME`, and as people write them."""

from __future__ import annotations

import re

SCHEME = "usbshare://"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_URI = re.compile(rf"{SCHEME}[0-9A-Za-z-]{{1,63}}/{_NAME.pattern}")


def is_name(text: str) -> bool:
    """Return whether the text can be the short name of an identity."""
    return _NAME.fullmatch(text) is not None


def is_uri(text: str) -> bool:
    """Return whether the text is a whole identity."""
    return _URI.fullmatch(text) is not None


def identity_uri(site: str, name: str) -> str:
    """Return the identity of that name; a whole identity stays as it is."""
    return name if name.startswith(SCHEME) else f"{SCHEME}{site}/{name}"


def short_name(uri: str, site: str) -> str:
    """Return what people of the site call an identity; one of another site keeps its URI."""
    return uri.removeprefix(f"{SCHEME}{site}/")
