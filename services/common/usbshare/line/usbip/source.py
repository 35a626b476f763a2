"""Which device of which server is meant by `usbip://…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from usbshare.base.addresses import join_host_port, split_host_port
from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.usbip.client import PORT
from usbshare.usbip.messages import ExportedDevice

USBIP = "usbip://"
FORMS = (
    "usbip://host[:port]/busid, such as usbip://pi4/1-1.2, or "
    "usbip://host[:port]/VID:PID[:SERIAL], such as usbip://pi4/2341:0043; add #INTERFACE if the "
    "device has several serial ports"
)
_URL = re.compile(r"usbip://([^/?#]+)/([^/?#]+)(?:#(\d{1,3}))?", re.IGNORECASE)
_BUSID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,30}")
_IDS = re.compile(r"([0-9a-f]{1,4}):([0-9a-f]{1,4})(?::(.+))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UsbipSource:
    """A device of a server, by its bus id or by what it says of itself; `interface` is its port."""

    host: str
    port: int
    busid: str = ""
    vid: int | None = None
    pid: int | None = None
    serial: str | None = None
    interface: int | None = None

    def __str__(self) -> str:
        which = "" if self.interface is None else f"#{self.interface}"
        return f"{USBIP}{self.server}/{self.busid or self.ids}{which}"

    @property
    def server(self) -> str:
        """The server as people write it, without the usual port."""
        if self.port == PORT:
            return f"[{self.host}]" if ":" in self.host else self.host
        return join_host_port(self.host, self.port)

    @property
    def ids(self) -> str:
        """VID:PID[:SERIAL], empty where the bus id says which device it is."""
        if self.vid is None or self.pid is None:
            return ""
        serial = "" if self.serial is None else f":{quote(self.serial, safe=':')}"
        return f"{self.vid:04x}:{self.pid:04x}{serial}"

    def matches(self, device: ExportedDevice) -> bool:
        """Return whether a listed device may be meant; its serial number is in no list."""
        if self.busid:
            return device.busid == self.busid
        return (device.vid, device.pid) == (self.vid, self.pid)


def is_remote(source: str) -> bool:
    """Return whether a source is one of another computer's USB/IP server."""
    return source.lower().startswith(USBIP)


def parse_source(text: str) -> UsbipSource:
    """Read a source; raises ConfigError with what would be one."""
    found = _URL.fullmatch(text)
    if found is None:
        raise ConfigError(f"'{text}' is not {FORMS}")
    try:
        host, port = split_host_port(found[1], PORT)
    except InvalidArgumentError as error:
        raise ConfigError(f"'{text}': {error}") from error
    interface = None if found[3] is None else int(found[3])
    if interface is not None and interface > 0xFF:
        raise ConfigError(f"'{text}': interface {interface} is not 0 to 255")
    device = unquote(found[2])
    if ids := _IDS.fullmatch(device):
        vid, pid = int(ids[1], 16), int(ids[2], 16)
        return UsbipSource(host, port, "", vid, pid, ids[3], interface)
    if _BUSID.fullmatch(device):
        return UsbipSource(host, port, device, interface=interface)
    raise ConfigError(f"'{text}' is not {FORMS}")
