"""Who may use what a program of ours serves over HTTP."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from usbshare.base.addresses import parse_address, split_host_port
from usbshare.base.errors import ConfigError, InvalidArgumentError

LEAST_TOKEN_LETTERS = 12
_BEARER = "bearer "
_ANY_PORT = 1


@dataclass(frozen=True, slots=True)
class Access:
    """A token that each request must carry, or none: then only names of this computer are served.

    A web page may have its own name resolve to 127.0.0.1 (DNS rebinding), but then the browser
    still sends that name in the Host header.
    """

    token: str = ""
    program: str = "usbshare-bridge camera"

    def why_refused(self, host: str | None, given: str, authorization: str) -> str:
        """Return why a request may not be served, empty if it may.

        `host` is None where a program of HTTP/1.0 names none, which no browser does.
        """
        if not self.token:
            return (
                ""
                if host is None or _is_this_computer(host)
                else f"this is not {host!r}: use 127.0.0.1"
            )
        if authorization.casefold().startswith(_BEARER):
            given = authorization[len(_BEARER) :].strip()
        # aiohttp passes on bytes that are no UTF-8 as surrogates.
        if hmac.compare_digest(given.encode(errors="backslashreplace"), self.token.encode()):
            return ""
        return f"the token is missing or wrong: add ?token=… as `{self.program}` printed it"


def new_token() -> str:
    """Return a token that cannot be guessed."""
    return secrets.token_urlsafe(16)


def checked_token(text: str) -> str:
    """Return a token that a person chose; raises ConfigError where it does not fit into a URL."""
    if len(text) < LEAST_TOKEN_LETTERS or not _fits_into_url(text):
        raise ConfigError(
            f"--token needs at least {LEAST_TOKEN_LETTERS} letters, digits, '-' or '_'; leave "
            "it out to have one made"
        )
    return text


def _fits_into_url(text: str) -> bool:
    return text.isascii() and all(each.isalnum() or each in "-_" for each in text)


def _is_this_computer(host: str) -> bool:
    try:
        name, _ = split_host_port(host, _ANY_PORT)
    except InvalidArgumentError:
        return False
    address = parse_address(name)
    return name.casefold() == "localhost" if address is None else address.is_loopback
