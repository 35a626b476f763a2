"""Avahi in a namespace, with its own message bus and its own /run; gone with the test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.namespaces import Namespace

_SEARCHED = f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin"
_NEEDED = ("avahi-daemon", "avahi-browse", "avahi-publish", "avahi-resolve", "dbus-daemon")
DEADLINE_S = 30.0

_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
_DAEMON = """[server]
host-name=avahi-peer
use-ipv6=no
allow-interfaces={interface}
[wide-area]
enable-wide-area=no
[publish]
publish-hinfo=no
publish-workstation=no
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A resolved service, as avahi-browse prints it; `address` is any one of its host."""

    name: str
    type: str
    host: str
    address: str
    port: int
    txt: frozenset[str]


class Avahi:
    """A running avahi-daemon and its tools, all in one namespace."""

    def __init__(self, namespace: Namespace, bus: Path, exits: ExitStack) -> None:
        self._namespace, self._exits = namespace, exits
        self._environment = {
            **os.environ,
            "PATH": _SEARCHED,
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus}",
            "LC_ALL": "C.UTF-8",
        }

    def start(self, arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a process there that ends with the test."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._namespace.command(arguments),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._exits.callback(end, process)
        return process

    def browse(self, *arguments: str) -> str:
        """Return what `avahi-browse --parsable --terminate` prints."""
        done = subprocess.run(
            self._namespace.command(["avahi-browse", "-pt", *arguments]),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=DEADLINE_S,
        )
        return done.stdout.decode()

    def find(self, type_: str, name: str) -> Found:
        """Return the service of that type and name once it resolves there."""
        wanted: list[Found] = []

        def is_there() -> bool:
            wanted[:] = [each for each in resolved(self.browse("-r", type_)) if each.name == name]
            return bool(wanted)

        wait_until(is_there)
        return wanted[0]

    def ipv4_of(self, host: str) -> str:
        """Return a host's IPv4 address; where a service resolves, any address of it will do."""
        done = subprocess.run(
            self._namespace.command(["avahi-resolve", "-4", "-n", host]),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=DEADLINE_S,
        )
        return done.stdout.decode().split()[-1]


def resolved(output: str) -> list[Found]:
    """Return the services that could be resolved."""
    lines = [line.split(";", 9) for line in output.splitlines() if line.startswith("=")]
    return [
        Found(
            unescaped(name),
            type_,
            host,
            address,
            int(port),
            frozenset(re.findall(r'"([^"]*)"', txt)),
        )
        for _, _, _, name, type_, _, host, address, port, txt in lines
    ]


def unescaped(text: str) -> str:
    r"""Undo `\195\164` for bytes and `\.` for a dot within a label."""
    raw = re.sub(
        rb"\\(\d{3}|.)",
        lambda match: bytes((int(match[1]),)) if len(match[1]) == 3 else match[1],
        text.encode(),
    )
    return raw.decode()


@contextmanager
def running_avahi(namespace: Namespace, folder: Path) -> Iterator[Avahi]:
    """Run it there; the test is skipped, with the reason, where it is not installed."""
    missing = [each for each in _NEEDED if not shutil.which(each, path=_SEARCHED)]
    if missing:
        pytest.skip(f"needs {missing[0]} (Debian packages avahi-daemon, avahi-utils and dbus)")
    bus, config, log = folder / "bus", folder / "avahi.conf", folder / "avahi.log"
    (folder / "bus.conf").write_text(_BUS.format(socket=bus))
    config.write_text(_DAEMON.format(interface=namespace.interface))
    with ExitStack() as exits:
        avahi = Avahi(namespace, bus, exits)
        serve_bus = ["dbus-daemon", f"--config-file={folder / 'bus.conf'}", "--nofork"]
        avahi.start([*serve_bus, "--nopidfile"], folder / "bus.log")
        wait_until(bus.exists)
        # `ip netns exec` gives it its own mounts, so this /run is nobody else's.
        own_run = "mount -t tmpfs tmpfs /run && mkdir /run/avahi-daemon && exec avahi-daemon"
        options = "--no-drop-root --no-chroot --no-rlimits --no-proc-title"
        avahi.start(["sh", "-c", f"{own_run} -f {config} {options}"], log)
        wait_until(lambda: "startup complete" in log.read_text())
        yield avahi


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fails after a while."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and see that it does."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
