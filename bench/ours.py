"""Our side: the real `serial-svc` and `bridge` as processes, as a user would start them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.stage import SCRIPTS, Actor, Stage, free_port


@dataclass(frozen=True, slots=True)
class PortTable:
    """A `[ports.<id>]` table of the service's configuration."""

    source: str
    profile: str = "raw"
    baud: int = 115200
    link_timeout_s: float = 2.0

    def toml(self, port_id: str) -> str:
        """Return the table as it is written in the file."""
        return (
            f'[ports.{port_id}]\nsource = "{self.source}"\n'
            f'profile = "{self.profile}"\nbaud = {self.baud}\n'
            f"link_timeout_s = {self.link_timeout_s}\n"
        )


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs, and the folder of its site's certificates."""

    actor: Actor
    target: str
    folder: Path


def start_service(
    stage: Stage,
    ports: Mapping[str, PortTable],
    *,
    command: Sequence[str] = (str(SCRIPTS / "serial-svc"),),
    descriptors: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> Service:
    """Start a service with these ports and wait until it is ready."""
    tcp_port = free_port()
    config = stage.folder / f"serial-{tcp_port}.toml"
    config.write_text("".join(table.toml(port_id) for port_id, table in ports.items()))
    target = f"127.0.0.1:{tcp_port}"
    actor = stage.start(
        [*command, "--config", str(config), "--listen", target],
        descriptors=descriptors,
        environment=environment,
    )
    actor.wait_for("serial-svc ready at")
    return Service(actor, target, stage.folder / "usbshare")


def start_bridge(stage: Stage, service: Service, port_id: str) -> tuple[Actor, str]:
    """Start a bridge for one port; returns it and the virtual port's path."""
    path = stage.path(f"vcom-{port_id}")
    arguments = ["--target", service.target, "--port", port_id, "--vcom", path]
    actor = stage.start([str(SCRIPTS / "bridge"), *arguments])
    actor.wait_for("ready: open")
    return actor, path


def start_usb_bridge(stage: Stage, service: Service, port_id: str) -> tuple[Actor, str]:
    """Start a bridge with a USB port in this computer's kernel; returns it and the port's path."""
    arguments = ["--target", service.target, "--port", port_id, "--usb-port"]
    actor = stage.start([*python_module("usbshare.bridge"), *arguments])
    actor.wait_for("ready: open")
    return actor, actor.said.partition("ready: open ")[2].split()[0]


def python_module(name: str) -> list[str]:
    """Return the command that runs one of our modules."""
    return [sys.executable, "-m", name]
