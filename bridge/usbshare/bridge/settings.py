"""What the configuration says to the bridge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from usbshare.base.config import Table, checked, load_config
from usbshare.bridge.buffered.buffer_size import BufferSize
from usbshare.bridge.local_ports import rfc2217 as local_ports_rfc2217
from usbshare.bridge.local_ports import tcp as local_ports_tcp
from usbshare.bridge.local_ports.loopback_address import loopback_address
from usbshare.bridge.local_ports.usb_address import UsbAddress
from usbshare.bridge.state import KINDS
from usbshare.hosts.settings import DiscoveryTable, Hosts


def _shown(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("give printable text")
    return text


Text = Annotated[str, AfterValidator(_shown)]
TcpAddress = Annotated[
    str, checked(lambda text: loopback_address(text, local_ports_tcp.DEFAULT_PORT))
]
Rfc2217Address = Annotated[
    str, checked(lambda text: loopback_address(text, local_ports_rfc2217.DEFAULT_PORT))
]
UsbPortText = Annotated[str, checked(UsbAddress.parse)]
BufferText = Annotated[str, checked(BufferSize.parse)]


class BridgeTable(Table):
    """`[bridge]`: defaults that the command line and the environment override."""

    target: Text | None = None
    vcom: Text | None = None
    usb_port: UsbPortText | None = None
    tcp: TcpAddress | None = None
    rfc2217: Rfc2217Address | None = None
    buffered: BufferText | None = None
    port: Text | None = None
    bundle: Path | None = None
    camera: Text | None = None
    remember: bool = True

    @model_validator(mode="after")
    def _one_virtual_port(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in KINDS) > 1:
            raise ValueError(f"give at most one of {', '.join(KINDS)}")
        return self

    def with_said(self, said: Mapping[str, str]) -> Self:
        """Return the table with these keys over it; one kind of virtual port replaces another."""
        kept = self.model_dump()
        if not said.keys().isdisjoint(KINDS):
            kept.update(dict.fromkeys(KINDS))
        return self.model_validate({**kept, **said})


class Settings(Table):
    """The tables that the bridge reads; it ignores those of the services."""

    bridge: BridgeTable = Field(default_factory=BridgeTable)
    discovery: DiscoveryTable = Field(default_factory=DiscoveryTable)
    hosts: Hosts = Field(default_factory=dict)


def load_settings(path: Path | None) -> Settings:
    """Read and validate the file; ConfigError with a line for each mistake."""
    return load_config(path, Settings)
