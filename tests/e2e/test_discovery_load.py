"""What discovery costs: two hundred hosts that come and go, and two that only are there."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from fakes.crowd import Crowd, crowd
from fakes.discovery_hosts import Computer, Watcher
from fakes.namespaces import Namespace, Wire, joined_namespaces
from fakes.processes import SCRIPTS, Process, free_port, running
from fakes.waiting import until
from usbshare.hosts.settings import DiscoveryTable

CHURN_S = 90.0
QUIET_S = 30.0
MOST_BITS_PER_S = 2000


def report(*words: object) -> None:
    print(*words)  # the figures of this run, shown with `-s`


def cpu_s(process: Process) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(process: Process) -> int:
    """Return what a process holds in memory."""
    lines = Path(f"/proc/{process.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def told(watcher: Watcher) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return what a watcher knows of the crowd."""
    return {
        each.name: (each.endpoints[0].port, tuple(each.port_ids))
        for each in list(watcher.instances.values())
        if each.name.startswith("crowd-")
    }


@pytest.mark.slow
async def test_two_hundred_hosts_that_come_and_go_cost_little(tmp_path: Path) -> None:
    observer = Computer(tmp_path, free_port(socket.SOCK_DGRAM))
    settings = DiscoveryTable(beacon_port=observer.beacon_port, interfaces=["127.0.0.1"])
    async with crowd(settings) as people:
        with observer.discovery() as service, observer.watched() as watcher:
            await people.grow(by_beacon=185, by_mdns=15)
            await until(lambda: told(watcher) == people.table, 60)
            report(f"{len(people.hosts)} hosts are known")
            sizes = await churned(people, service)
            began = time.monotonic()
            await until(lambda: told(watcher) == people.table, 60)
            report(f"the table was right {time.monotonic() - began:.1f} s after the last change")
    report(f"memory in KiB, every tenth of the run: {sizes}")
    half = len(sizes) // 2
    assert max(sizes[half:]) - max(sizes[:half]) < 1024


async def churned(people: Crowd, service: Process) -> list[int]:
    """Let the crowd change for a while; return the service's memory over that time."""
    sizes = [memory_kib(service)]
    began, used = time.monotonic(), cpu_s(service)
    while (spent := time.monotonic() - began) < CHURN_S:
        await people.churn()
        await asyncio.sleep(0.5)
        if spent > len(sizes) * CHURN_S / 10:
            sizes.append(memory_kib(service))
    share = (cpu_s(service) - used) / (time.monotonic() - began)
    report(f"{people.changed} changed, {people.left} left, {people.died} died")
    report(f"discovery-svc used {share:.1%} of a core")
    assert share < 0.05
    return sizes


@pytest.mark.slow
def test_two_idle_hosts_send_little(tmp_path: Path) -> None:
    with joined_namespaces() as wire, ExitStack() as exits:
        exits.enter_context(on(wire.host, "discovery-svc", tmp_path)).wait_for("ready at")
        exits.enter_context(on(wire.host, "serial-svc", tmp_path)).wait_for("announced as")
        exits.enter_context(on(wire.client, "discovery-svc", tmp_path)).wait_for("ready at")
        time.sleep(QUIET_S)  # what is announced is repeated at first
        before, began = wire_bytes(wire), time.monotonic()
        time.sleep(QUIET_S)
        spent = time.monotonic() - began
        counts = zip(wire_bytes(wire), before, strict=True)
        rates = [8 * (now - then) / spent for now, then in counts]
    report("bit/s to and from one of two idle hosts:", *(f"{rate:.0f}" for rate in rates))
    assert max(rates) < MOST_BITS_PER_S


def on(end: Namespace, service: str, home: Path) -> AbstractContextManager[Process]:
    """Run a service of one site on one of the two computers, on all of its interfaces."""
    config = home / f"{end.name}.toml"
    config.write_text(f'[discovery]\nname = "{end.name}"\n[ports.laser]\nsource = "sim://grbl"\n')
    everywhere = ["/usr/bin/env", "USBSHARE_DISCOVERY_INTERFACES="]
    command = [*everywhere, str(SCRIPTS / service), "--config", str(config)]
    return running(end.command(command), home)


def wire_bytes(wire: Wire) -> tuple[int, int]:
    """Return how many bytes the client's end has received and sent, with all headers."""
    table = subprocess.run(
        wire.client.command(["cat", "/proc/net/dev"]), capture_output=True, check=True, text=True
    ).stdout
    line = next(each for each in table.splitlines() if wire.client.interface in each)
    counts = line.partition(":")[2].split()
    return int(counts[0]), int(counts[8])
