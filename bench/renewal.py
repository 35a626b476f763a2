"""The time of a G-code job while certificates are renewed under it, against one left in peace.

In a run with renewals the bridge finds a certificate that is due every few seconds. Each time it
makes a key, has the service sign it, tries it out, and moves the session to a new connection.
"""

from __future__ import annotations

import random
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.job import character_counting, job_lines, run_job, start_simulator
from bench.ours import PortTable, start_bridge, start_service
from bench.report import result, table
from bench.stage import Actor, BenchError, Stage
from usbshare.base.paths import write_private
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import certificates
from usbshare.trust.authorities import load_authorities

RUNS = 8
INTERVAL_S = 3.0
STILL, RENEWING = "in peace", "with renewals"


def main() -> None:
    """Measure and print."""
    lines = job_lines()
    times: dict[str, list[float]] = {STILL: [], RENEWING: []}
    with Stage() as stage:
        service = start_service(stage, {"laser": PortTable(start_simulator(stage, "sim"), "grbl")})
        bridge, path = start_bridge(stage, service, "laser")
        for run in range(RUNS):
            for way in random.sample(list(times), len(times)):
                with _renewals(service.folder, way == RENEWING):
                    times[way].append(run_job(path, character_counting, lines))
            print(f"run {run + 1} of {RUNS} done", flush=True)
        moved = _moves(bridge)
    _print(times, moved)


@contextmanager
def _renewals(folder: Path, is_on: bool) -> Iterator[None]:
    """Let the bridge find that it must renew, every few seconds while the block runs."""
    over = threading.Event()

    def age_again_and_again() -> None:
        while not over.wait(INTERVAL_S):
            age(folder / "client.pem", folder / "site")

    thread = threading.Thread(target=age_again_and_again, daemon=True)
    if is_on:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if is_on:
            thread.join()


def age(path: Path, site: Path) -> None:
    """Put a newer certificate in the bridge's file that is due for renewal already."""
    now = datetime.now(UTC)
    bundle = ClientBundle.load(path)
    (uri,) = certificates.uris(bundle.certificate)
    authority = load_authorities(site, now).clients
    key = certificates.new_key()
    start, life = now - timedelta(days=800), timedelta(days=1000)
    aged = certificates.certificate_pem(certificates.issue_client(authority, key, uri, start, life))
    write_private(path, certificates.key_pem(key) + aged + bundle.authorities)


def _moves(bridge: Actor) -> int:
    said = bridge.said
    for trouble in ("link lost", "could not be", "hung up"):
        if trouble in said:
            raise BenchError(f"the session did not just move:\n{said}")
    return said.count("session resumed")


def _print(times: dict[str, list[float]], moved: int) -> None:
    print("job by GRBL at 115200 baud, seconds")
    rows = [(way, statistics.median(all_), min(all_), max(all_)) for way, all_ in times.items()]
    table(("way", "median", "least", "most"), rows)
    ratio = statistics.median(times[RENEWING]) / statistics.median(times[STILL])
    result("renewal_job_time_ratio", ratio, "ratio")
    result("renewal_moves_per_job", moved / RUNS, "moves")
