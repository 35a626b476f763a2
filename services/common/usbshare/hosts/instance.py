"""One host that offers something, as reported by the sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from usbshare.base import usual_ports


class Kind(Enum):
    """What a service offers; the value is its key in TXT records and JSON."""

    SERIAL = "serial"
    CAMERA = "camera"
    DISCOVERY = "discovery"
    JOB = "job"
    USB = "usb"


class Source(Enum):
    """How an instance came to be known; the value is its name in JSON, metrics and tables."""

    MDNS = "mdns"
    BEACON = "beacon"
    STATIC = "static"
    LOCAL = "local"
    VIA = "via"  # another computer's discovery service


# Where each listens unless its operator chose another port.
USUAL_PORTS = {
    Kind.SERIAL: usual_ports.SERIAL_PORT,
    Kind.CAMERA: usual_ports.CAMERA_PORT,
    Kind.DISCOVERY: usual_ports.DISCOVERY_PORT,
    Kind.JOB: usual_ports.JOB_PORT,
    Kind.USB: usual_ports.USB_PORT,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one service listens: a TCP port of its host."""

    kind: Kind
    port: int


@dataclass(frozen=True, slots=True)
class Instance:
    """A host. All but the name may be empty, all of it is a hint until a certificate proves it.

    `name`: clean UTF-8, 1 to 63 bytes. `host`: DNS name without a final dot. `addresses`: IP
    addresses, link-local ones with a scope (`fe80::1%eth0`), or a configured name; best first.
    `site`: fingerprint of the site's CA, 64 hex digits or empty. Everything is cleaned already.
    """

    name: str
    addresses: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    host: str = ""
    port_ids: tuple[str, ...] = ()
    tls: bool = True
    site: str = ""
    version: str = ""

    def port_of(self, kind: Kind) -> int | None:
        """Return where its service of that kind listens, None if it has none."""
        return next((each.port for each in self.endpoints if each.kind is kind), None)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one source reports of one instance; `key` is unique within the source.

    `expires_at`: on the catalogue's clock, None for as long as the source does not take it back.
    """

    source: Source
    key: str
    instance: Instance
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An instance in the catalogue, merged from all sources that know it.

    `id` stays for as long as the entry is there. `last_seen`: catalogue's clock, when a source told
    of it or a probe reached it last.
    """

    id: str
    instance: Instance
    sources: frozenset[Source] = field(default_factory=frozenset)
    last_seen: float = 0.0
