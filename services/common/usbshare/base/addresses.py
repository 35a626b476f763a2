"""Names and addresses of computers, as people write them."""

from __future__ import annotations

import ipaddress
import re

from usbshare.base.errors import InvalidArgumentError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*(?!\d+$){_LABEL}", re.IGNORECASE)


def is_dns_name(text: str) -> bool:
    """Return whether the text is a DNS name, and no address."""
    return _NAME.fullmatch(text) is not None


def dns_form(text: str) -> str:
    """Return a DNS name as certificates and resolvers have it, empty if the text is none.

    Without the dot at its end, and in ASCII: `xn--mller-kva.local` of `müller.local.` (RFC 3490).
    """
    name = text.removesuffix(".")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    return name if is_dns_name(name) else ""


def parse_address(text: str) -> Address | None:
    """Read an IP address; None when the text is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def without_scope(address: str) -> str:
    """Return the address without its interface: `fe80::1` of `fe80::1%eth0`."""
    return address.partition("%")[0]


def is_link_local(text: str) -> bool:
    """Return whether the text is a link-local IPv6 address, whose interface must be known."""
    address = parse_address(text)
    return isinstance(address, ipaddress.IPv6Address) and address.is_link_local


def split_host_port(text: str, default_port: int) -> tuple[str, int]:
    """Split `host`, `host:port`, `[v6]:port` or a bare v6; InvalidArgumentError quotes the text.

    With a port a name is brought into its DNS form. Without one it must be in it: any other is what
    people call a host, which whoever looks names up may know (a stop too goes that way then).
    """
    host, port = _split(text)
    if not parse_address(host):
        name = dns_form(host)
        host = "" if port is None and name != host else name
    if not host:
        raise InvalidArgumentError(
            f"{text!r} is not an address: give host or host:port, as in laser:{default_port}"
        )
    return host, default_port if port is None else _port(port, text)


def join_host_port(host: str, port: int) -> str:
    """Write host and port the way `split_host_port` reads them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(text: str) -> tuple[str, str | None]:
    if isinstance(parse_address(text), ipaddress.IPv6Address):
        return text, None
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, colon, port = text, "", ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1] if ":" in host else ""
    return host, port if colon else None


def _port(digits: str, text: str) -> int:
    if digits.isascii() and digits.isdecimal() and int(digits) <= 65535:
        return int(digits)
    raise InvalidArgumentError(f"{text!r}: the port {digits!r} is not a number from 1 to 65535")


def network_of(address: str) -> str:
    """Return what one person has many addresses in: with IPv6 the /64."""
    parsed = parse_address(address.partition("%")[0])
    if parsed is None or parsed.version == 4:
        return address
    if mapped := getattr(parsed, "ipv4_mapped", None):
        return str(mapped)
    return ":".join(parsed.exploded.split(":")[:4])
