"""Round trip of a 20-byte line: program, virtual port, mTLS, device that answers `ok`, back.

Back to back the lines come faster than 115200 baud could carry them, and the pacer would hold them
to that rate, as a real line does; so our ports have 2 Mbaud there, and one has 115200 to show it.
Every round starts all processes anew: where their memory happens to lie alone makes 10 %.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from bench import peers
from bench.ours import PortTable, python_module, start_bridge, start_service
from bench.peers import have
from bench.programs import Programs
from bench.report import quantile, result, table
from bench.stage import Actor, Stage, free_port

OURS, GRBL, SLOW = "usbshare raw", "usbshare grbl", "usbshare raw 115200"
SOCAT, SER2NET, BARE, DIRECT = "socat TLS", "ser2net TCP", "bare gRPC", "direct"
UNPACED_BAUD = 2_000_000
ROUNDS = 5
BURSTS = 5
LINES_PER_BURST = 100
SPACED_LINES_PER_BURST = 40
GAP_US = 3000


@dataclass(slots=True)
class Found:
    """Round trips of one way to a device, in microseconds."""

    back_to_back: list[float] = field(default_factory=list)
    spaced: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    found: dict[str, Found] = {}
    for _ in range(ROUNDS):
        _play_round(found)
    _print_table("back to back", {name: it.back_to_back for name, it in found.items()})
    _print_table("3 ms apart", {name: it.spaced for name, it in found.items()})
    _print_results(found)


def _play_round(found: dict[str, Found]) -> None:
    with Stage() as stage:
        programs = _programs(stage)
        for program in programs.values():
            burst(program, 2 * LINES_PER_BURST, 0)
        for _ in range(BURSTS):
            for name in random.sample(list(programs), len(programs)):
                found.setdefault(name, Found()).back_to_back += burst(
                    programs[name], LINES_PER_BURST, 0
                )
            for name in random.sample(list(programs), len(programs)):
                found[name].spaced += burst(programs[name], SPACED_LINES_PER_BURST, GAP_US)


def burst(program: Actor, count: int, gap_us: int) -> list[float]:
    """Return so many round trips of a program, in microseconds."""
    return [int(word) / 1000 for word in program.ask(f"{count} {gap_us}").split()]


def _programs(stage: Stage) -> dict[str, Actor]:
    programs = Programs(stage)
    service = start_service(
        stage,
        {
            "raw": PortTable(_device(programs, stage, "raw"), "raw", UNPACED_BAUD),
            "grbl": PortTable(_device(programs, stage, "grbl"), "grbl", UNPACED_BAUD),
            "slow": PortTable(_device(programs, stage, "slow"), "raw", 115200),
        },
    )
    ours = {"raw": OURS, "grbl": GRBL, "slow": SLOW}
    places = {name: start_bridge(stage, service, port)[1] for port, name in ours.items()}
    places[BARE] = _bare_grpc(stage, programs, service.folder / "site")
    places[DIRECT] = _device(programs, stage, "direct")
    if have("socat"):
        device = _device(programs, stage, "socat")
        places[SOCAT] = peers.socat_tls(stage, "tls", device, service.folder).path
        if have("ser2net"):
            places[SER2NET] = peers.ser2net(stage, _device(programs, stage, "ser2net")).path
    return {name: programs.start("ask", place) for name, place in places.items()}


def _device(programs: Programs, stage: Stage, name: str) -> str:
    link = stage.path(f"device-{name}")
    programs.start("echo", link)
    return link


def _bare_grpc(stage: Stage, programs: Programs, site: object) -> str:
    target = f"127.0.0.1:{free_port()}"
    command = python_module("bench.bare_grpc")
    device, link = _device(programs, stage, "bare"), stage.path("bare")
    stage.start([*command, "far", target, device, str(site)]).wait_for("ready")
    near = stage.start([*command, "near", target, link, str(site)])
    return stage.wait_for_path("bare", near)


def _print_table(title: str, times: dict[str, list[float]]) -> None:
    base = times.get(SOCAT)
    rows = []
    for name, found in times.items():
        p50, p99 = quantile(found, 0.5), quantile(found, 0.99)
        ratios = (p50 / quantile(base, 0.5), p99 / quantile(base, 0.99)) if base else ("-", "-")
        rows.append((name, len(found), *map(round, (p50, quantile(found, 0.9), p99)), *ratios))
    print(f"round trip of a 20-byte line, {title}, us")
    table(("path", "n", "p50", "p90", "p99", "p50 / socat", "p99 / socat"), rows)


def _print_results(found: dict[str, Found]) -> None:
    ours, bare = found[OURS], found[BARE]
    if (socat := found.get(SOCAT)) is not None:
        for share, key in ((0.5, "p50"), (0.99, "p99")):
            for suffix, mine, theirs in (
                ("", ours.back_to_back, socat.back_to_back),
                ("_3ms_apart", ours.spaced, socat.spaced),
            ):
                ratio = quantile(mine, share) / quantile(theirs, share)
                result(f"{key}_ratio_to_socat_tls{suffix}", ratio, "ratio")
    p50 = quantile(ours.back_to_back, 0.5)
    result("p50_ratio_to_bare_grpc", p50 / quantile(bare.back_to_back, 0.5), "ratio")
    spaced = quantile(ours.spaced, 0.5) / quantile(bare.spaced, 0.5)
    result("p50_ratio_to_bare_grpc_3ms_apart", spaced, "ratio")
    result("p50_us", p50, "us")
