"""What a good client's round trip loses beside one that asks for ten times what it may have.

Round trips of a line as `round_trip` measures them, in turns alone, beside a greedy client's calls,
and beside its messages in a stream; each has an identity of its own, the limits are the default.
All of it shares this computer's processors; so the same greed is measured against a second service
too, which tells what the computer loses from what the service does.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from bench.ours import PortTable, Service, python_module, start_bridge, start_service
from bench.programs import Programs
from bench.report import quantile, result, table
from bench.round_trip import UNPACED_BAUD, burst
from bench.stage import Actor, BenchError, Stage
from usbshare.authorization.policy import Policy
from usbshare.trust import certificates
from usbshare.trust.certificates import Authority

ALONE = "alone"
REQUESTS, MESSAGES = "beside calls", "beside messages"
OTHER_REQUESTS, OTHER_MESSAGES = "calls to another service", "messages to another service"
KINDS = {
    REQUESTS: "requests",
    MESSAGES: "messages",
    OTHER_REQUESTS: "requests",
    OTHER_MESSAGES: "messages",
}
OTHER = {REQUESTS: OTHER_REQUESTS, MESSAGES: OTHER_MESSAGES}
ROUNDS = 3
TURNS = 5
LINES = 300
SPACED_LINES = 300
GAP_US = 3000
GREEDY_S = 4.0
POLICY = """
[groups]
admins = ["operator"]
[[grants]]
who = ["admins"]
rights = ["control", "admin"]
[[grants]]
who = ["greedy"]
rights = ["view"]
"""


class Found:
    """Round trips in microseconds: back to back, and some milliseconds apart."""

    def __init__(self) -> None:
        self.back_to_back: list[float] = []
        self.spaced: list[float] = []
        self.greed: Counter[str] = Counter()


def main() -> None:
    """Measure and print."""
    found = {name: Found() for name in (ALONE, *KINDS)}
    for _ in range(ROUNDS):
        with Stage() as stage:
            _play_round(stage, found)
    _print(found)


def _play_round(stage: Stage, found: dict[str, Found]) -> None:
    folder = stage.folder / "usbshare"
    folder.mkdir(mode=0o700)
    (folder / "policy.toml").write_text(POLICY)
    programs = Programs(stage)
    device = stage.path("device-raw")
    programs.start("echo", device)
    ports = {"raw": PortTable(device, "raw", UNPACED_BAUD), "sink": PortTable("sim://grbl")}
    service = start_service(stage, ports)
    asker = programs.start("ask", start_bridge(stage, service, "raw")[1])
    here = _greedy(stage, service)
    there = _greedy(stage, start_service(stage, {"sink": PortTable("sim://grbl")}))
    burst(asker, LINES, 0)
    for _ in range(TURNS):
        for name in random.sample(list(found), len(found)):
            _take_turn(name, asker, there if name in OTHER.values() else here, found[name])


def _take_turn(name: str, asker: Actor, greedy: Actor, found: Found) -> None:
    if name in KINDS and (heard := greedy.ask(f"{KINDS[name]} {GREEDY_S}")) != "begin":
        raise BenchError(f"the greedy client said {heard!r}")
    found.back_to_back += burst(asker, LINES, 0)
    found.spaced += burst(asker, SPACED_LINES, GAP_US)
    if name in KINDS:
        found.greed.update(json.loads(greedy.answer()))


def _greedy(stage: Stage, service: Service) -> Actor:
    limits = Policy().limits
    bundle = _bundle(service.folder)
    arguments = [service.target, str(bundle)]
    arguments += [str(limits.requests_per_s), str(limits.commands_per_s)]
    greedy = stage.start([*python_module("bench.greedy"), *arguments], asked=True)
    if (heard := greedy.answer()) != "ready":
        raise BenchError(f"the greedy client said {heard!r}")
    return greedy


def _bundle(folder: Path) -> Path:
    """Issue a certificate for the greedy client."""
    site, now = folder / "site", datetime.now(UTC)
    authority = Authority(
        x509.load_pem_x509_certificate((site / "ca.crt").read_bytes()),
        certificates.load_key((site / "ca.key").read_bytes()),
    )
    key = certificates.new_key()
    operator = certificates.load_bundle((folder / "client.pem").read_bytes()).certificate
    names = operator.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uri = names.get_values_for_type(x509.UniformResourceIdentifier)[0].replace("operator", "greedy")
    client = certificates.issue_client(authority, key, uri, now)
    path = folder / "greedy.pem"
    path.touch(mode=0o600)
    parts = (
        certificates.key_pem(key),
        *map(certificates.certificate_pem, _chain(client, authority)),
    )
    path.write_bytes(b"".join(parts))
    return path


def _chain(client: x509.Certificate, authority: Authority) -> tuple[x509.Certificate, ...]:
    return client, authority.certificate


def _print(found: dict[str, Found]) -> None:
    limits = Policy().limits
    print(f"on {os.cpu_count()} processors; one identity may have {limits.requests_per_s:g} calls")
    print(
        f"and {limits.commands_per_s:g} messages a second; the greedy one asks for ten times that"
    )
    rows = [
        (title, name, len(times), *(quantile(times, share) for share in (0.5, 0.9, 0.99)))
        for title, attribute in (("back to back", "back_to_back"), ("3 ms apart", "spaced"))
        for name, it in found.items()
        for times in (getattr(it, attribute),)
    ]
    table(("round trip, us", "", "n", "p50", "p90", "p99"), rows)
    for name, it in found.items():
        if it.greed:
            print(f"greedy, {name}: {dict(it.greed)}")
    for share, part in ((0.5, "p50"), (0.99, "p99")):
        times = {name: quantile(it.spaced, share) for name, it in found.items()}
        beside_alone = max(times[name] / times[ALONE] for name in OTHER)
        beside_other = max(times[name] / times[other] for name, other in OTHER.items())
        result(f"limits_latency_ratio_{part}", beside_other, "ratio")
        result(f"limits_latency_ratio_alone_{part}", beside_alone, "ratio")


if __name__ == "__main__":
    main()
