"""The peers: socat and ser2net, from Debian, on the same ptys and certificates as we are."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.stage import READY_TIMEOUT_S, Actor, BenchError, Stage, free_port

PTY = "pty,raw,echo=0,link={link}"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A peer's two processes and the path that a program opens."""

    near: Actor
    far: Actor
    path: str


def have(program: str, package: str = "") -> bool:
    """Return whether a peer is there, after installing its Debian package if that is possible."""
    package = package or program
    if _is_there(program):
        return True
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"SKIPPED {program}: not installed; `sudo apt-get install {package}` brings it")
        return False
    print(f"installing {program} ...", flush=True)
    for command in (["apt-get", "-q", "update"], ["apt-get", "-qy", "install", package]):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=environment)
    if not _is_there(program):
        print(f"SKIPPED {program}: apt-get could not install it")
        return False
    return True


def socat_tls(stage: Stage, name: str, device: str, site: Path) -> Tunnel:
    """Tunnel a device to a pty with OPENSSL and certificates on both sides."""
    port, link = free_port(), stage.path(f"socat-{name}")
    own = f"cert={site}/site/server.crt,key={site}/site/server.key"
    server = f"OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,{own}"
    trust = f"cafile={site}/site/ca.crt,verify=1"
    far = stage.start(["socat", f"{server},{trust}", f"{device},raw,echo=0"])
    wait_for_listener(port, far)
    client = f"OPENSSL:127.0.0.1:{port},cert={site}/client.pem,{trust},nodelay"
    near = stage.start(["socat", PTY.format(link=link), client])
    return Tunnel(near, far, stage.wait_for_path(f"socat-{name}", near))


def ser2net(stage: Stage, device: str) -> Tunnel:
    """Tunnel a device by ser2net over plain TCP, without its delay, to a pty of socat."""
    port, link = free_port(), stage.path("ser2net")
    config = stage.folder / "ser2net.yaml"
    config.write_text(
        "connection: &bench\n"
        f"  accepter: tcp,127.0.0.1,{port}\n"
        f"  connector: serialdev,{device},115200n81,local\n"
        "  options:\n    chardelay: false\n"
    )
    far = stage.start([_path_of("ser2net") or "ser2net", "-n", "-d", "-c", str(config)])
    wait_for_listener(port, far)
    arguments = [PTY.format(link=link), f"TCP:127.0.0.1:{port},nodelay"]
    near = stage.start(["socat", *arguments])
    return Tunnel(near, far, stage.wait_for_path("ser2net", near))


def wait_for_listener(port: int, actor: Actor) -> None:
    """Return once somebody listens at the port, found without connecting: socat serves only one."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not _is_listening(port):
        if actor.process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"{actor.process.args!r} does not listen:\n{actor.said}")
        time.sleep(0.02)


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _is_there(program: str) -> bool:
    return _path_of(program) is not None


def _path_of(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
