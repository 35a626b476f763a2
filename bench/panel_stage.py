"""What the panel's benchmarks look at: a real panel beside real services, and what they take."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.stage import REPOSITORY, SCRIPTS, Actor, Stage, free_port

sys.path.insert(0, str(REPOSITORY / "tests"))

from fakes.chromium import Browser, Page, chromium_windows
from fakes.job_host import receptions
from fakes.network import Network, running_network

__all__ = ["Browser", "Network", "Page", "chromium_windows", "receptions", "running_network"]

SOURCE = "sim://bed?width=1280&height=720&fps=30"
CLOCK_MS = "performance.timeOrigin + performance.now()"


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel that runs; `url` is its page."""

    actor: Actor
    url: str


def start_camera(stage: Stage) -> tuple[Actor, str]:
    """Start a camera service with a simulated bed; returns it and its target."""
    target = f"127.0.0.1:{free_port()}"
    config = stage.folder / "camera.toml"
    config.write_text(f'[cameras.bed]\nsource = "{SOURCE}"\n')
    words = [str(SCRIPTS / "camera-svc"), "--config", str(config), "--listen", target]
    camera = stage.start(words, environment={"USBSHARE_DISCOVERY_INTERFACES": "127.0.0.1"})
    camera.wait_for("camera-svc ready at")
    return camera, target


def start_panel(stage: Stage, hosts: Mapping[str, Mapping[str, str]]) -> Panel:
    """Start a panel that knows these hosts: by name, the target of each of their services."""
    tables = "".join(_table(name, services) for name, services in hosts.items())
    config = stage.folder / "panel.toml"
    config.write_text(f"[discovery]\nmdns = false\nbeacon = false\n{tables}")
    command = [str(SCRIPTS / "usbshare-bridge"), "--config", str(config), "panel", "--json"]
    actor = stage.start([*command, "--listen", "127.0.0.1:0"])
    actor.wait_for('"ready"')
    line = next(each for each in actor.said.splitlines() if '"ready"' in each)
    return Panel(actor, json.loads(line)["url"])


def descendants(name: str) -> list[int]:
    """Return the processes of that name that this one and its children have started."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            text = (folder / "stat").read_text()
            pid = int(folder.name)
            names[pid] = text[text.index("(") + 1 : text.rindex(")")]
            parents[pid] = int(text[text.rindex(")") + 1 :].split()[1])

    def is_ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_ours(parents[pid]))

    return [pid for pid, called in names.items() if called == name and is_ours(pid)]


def _table(name: str, services: Mapping[str, str]) -> str:
    ports = (f"{kind} = {target.rpartition(':')[2]}\n" for kind, target in services.items())
    return f'[hosts.{name}]\naddress = "127.0.0.1"\n{"".join(ports)}'
