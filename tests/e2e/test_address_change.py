"""A host that gets another address while a bridge uses it: two computers, a real wire."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fakes.namespaces import IP, Namespace, joined_namespaces
from fakes.processes import SCRIPTS, Process, environment

NAME = "Laser-Workshop"
# Of RFC 5737, as the addresses before.
NEW_ADDRESSES = {"host": "203.0.113.1", "client": "203.0.113.2"}


@contextmanager
def running(there: Namespace, home: Path, script: str, *arguments: str) -> Iterator[Process]:
    """Run a script in a namespace, on its end of the wire."""
    command = there.command([str(SCRIPTS / script), *arguments])
    # `Process` starts scripts of ours; what starts this one is an absolute path.
    surroundings = {**environment(home), "USBSHARE_DISCOVERY_INTERFACES": there.interface}
    process = Process(command, surroundings)
    try:
        yield process
    finally:
        process.stop()


def set_address(there: Namespace, what: str, address: str) -> None:
    command = [IP, "-n", there.name, "address", what, f"{address}/30", "dev", there.interface]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def forget_ipv6(there: Namespace) -> None:
    command = [IP, "-n", there.name, "-6", "address", "flush", "dev", there.interface]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def test_a_bridge_follows_its_host_to_another_address_and_continues(tmp_path: Path) -> None:
    host_home, client_home = tmp_path / "host", tmp_path / "client"
    for home in (host_home, client_home):
        (home / "config" / "usbshare").mkdir(parents=True)
    config = host_home / "usbshare.toml"
    config.write_text(f'[discovery]\nname = "{NAME}"\n[ports.laser]\nsource = "sim://grbl"\n')
    with joined_namespaces() as wire, ExitStack() as exits:
        for end in (wire.host, wire.client):  # else the bridge may use an address that stays
            forget_ipv6(end)

        def start(there: Namespace, home: Path, *command: str) -> Process:
            return exits.enter_context(running(there, home, *command))

        discovery = start(wire.host, host_home, "discovery-svc", "--config", str(config))
        discovery.wait_for("discovery-svc ready at")
        service = start(wire.host, host_home, "serial-svc", "--config", str(config))
        service.wait_for("announced as")
        bundle = client_home / "config" / "usbshare" / "client.pem"
        shutil.copy(host_home / "config" / "usbshare" / "client.pem", bundle)
        os.chmod(bundle, 0o600)
        bridge = start(
            wire.client, client_home, "bridge", "--target", NAME, "--vcom", "C", "--json"
        )
        bridge.wait_for('"event": "ready"')
        bridge.wait_for(f'"event": "status".*"target": "{wire.host.address}:50051"')

        set_address(wire.client, "add", NEW_ADDRESSES["client"])
        set_address(wire.host, "add", NEW_ADDRESSES["host"])
        set_address(wire.host, "del", wire.host.address)

        bridge.wait_for(f'"event": "moved".*"target": "{NEW_ADDRESSES["host"]}:50051"')
        bridge.wait_for('"event": "resumed"')
        bridge.wait_for('"event": "urgent_line_ready"')
        assert "not_resumed" not in bridge.output
