"""Decides which requests are served, and sets the browsers' restrictions.

A page of another site can send requests to this computer's addresses, and may have its own name
resolve to one of them (DNS rebinding). It cannot omit or choose the headers that its browser adds:
Host, Origin, Sec-Fetch-Site.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass, field

from usbshare.base.addresses import parse_address, split_host_port
from usbshare.base.errors import InvalidArgumentError

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
}
# None: a program, or a browser that does not say it.
_OWN_FETCHES = frozenset({None, "same-origin", "none"})
_HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says of itself; None where it does not say it."""

    host: str | None
    origin: str | None = None
    fetch_site: str | None = None
    fetch_mode: str | None = None
    token: str = ""
    needs_origin: bool = False


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides by Host, Origin and token; without a token only this computer's names are served.

    `names` are further names of this computer, for pages of other devices.
    """

    token: str = ""
    names: Collection[str] = field(default=frozenset())

    def why_refused(self, asked: Asked) -> str:
        """Return why a request is not served, empty if it is."""
        if not self._is_own_host(asked.host):
            return f"this is not {asked.host!r}: use the address that the panel printed"
        if asked.origin is None:
            if asked.needs_origin:
                return "only pages of the panel may do this: the request names no Origin"
        elif asked.origin != f"http://{asked.host}":
            return f"{asked.origin!r} is another site"
        # A link that a person follows, from wherever, shows the page and does nothing.
        is_link = asked.fetch_mode == "navigate" and not asked.needs_origin
        if asked.fetch_site not in _OWN_FETCHES and not is_link:
            return "the request comes from another site's page"
        return self._why_wrong_token(asked.token)

    def _why_wrong_token(self, given: str) -> str:
        if not self.token:
            return ""
        # aiohttp passes on bytes that are no UTF-8 as surrogates.
        if hmac.compare_digest(given.encode(errors="backslashreplace"), self.token.encode()):
            return ""
        return (
            "the token is missing or wrong: open the address that `usbshare-bridge panel` printed, "
            "or scan its QR code again"
        )

    def _is_own_host(self, host: str | None) -> bool:
        try:
            name, _ = split_host_port(host or "", _HTTP_PORT)
        except InvalidArgumentError:
            return False
        address = parse_address(name)
        if address is not None:
            # An address cannot be another site's name; beyond this computer the token decides.
            return address.is_loopback or bool(self.token)
        folded = name.casefold()
        return folded == "localhost" or (bool(self.token) and folded in self.names)
