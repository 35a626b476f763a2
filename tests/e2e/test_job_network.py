"""A job goes on while the person's computer has no network, or sleeps; it sees the truth later."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.console import until
from fakes.namespaces import Wire, joined_namespaces
from fakes.processes import Process, run, running

pytestmark = pytest.mark.apart

LINES = 900  # of a second each
PROGRAM = b"G90 G21\nM4 S300\n" + b"".join(
    b"G1 X%d F600\n" % (each % 2 * 10) for each in range(1, LINES + 1)
)


@dataclass(slots=True)
class Computers:
    """The host with its two services, and the person's computer, a wire apart."""

    home: Path
    wire: Wire
    record: Path

    def here(self, *words: str) -> tuple[int, str]:
        """Run a command on the person's computer."""
        return run([*words, *self.target], self.home, self.wire.client.command)

    @contextmanager
    def watching(self) -> Iterator[Process]:
        words = ["usbshare-bridge", "job", "watch", "1", *self.target]
        with running(words, self.home, self.wire.client.command) as watch:
            watch.wait_for("job 1 part.nc: running")
            yield watch

    @property
    def target(self) -> list[str]:
        return ["--target", self.wire.host.address]

    def received_lines(self) -> int:
        events = map(json.loads, self.record.read_text().splitlines())
        return b"".join(bytes.fromhex(e["rx"]) for e in events if "rx" in e).count(b"G1")

    def until_more(self, lines: int) -> None:
        before = self.received_lines()
        until(lambda: self.received_lines() >= before + lines, "the job goes on")


@pytest.fixture
def computers(tmp_path: Path) -> Iterator[Computers]:
    with joined_namespaces() as wire, ExitStack() as exits:
        made = Computers(tmp_path, wire, tmp_path / "laser.jsonl")
        at = wire.host.address
        (tmp_path / "host.toml").write_text(
            f'[service]\nlisten = "{at}:50051"\n[job]\nlisten = "{at}:50055"\n'
            f'[serial]\ntarget = "{at}:50051"\n[tls]\nenrolment = ""\n'
            f'[ports.laser]\nsource = "sim://grbl?record={made.record}"\nprofile = "grbl"\n'
        )
        for name in ("serial-svc", "job-svc"):
            words = [name, "--config", str(tmp_path / "host.toml")]
            service = exits.enter_context(running(words, tmp_path, wire.host.command))
            service.wait_for(f"{name} ready at")
        (tmp_path / "part.nc").write_bytes(PROGRAM)
        code, said = made.here(
            "usbshare-bridge", "job", "submit", str(tmp_path / "part.nc"), "--start"
        )
        assert code == 0, said
        yield made


def test_a_job_goes_on_while_the_network_is_pulled(computers: Computers) -> None:
    with computers.watching() as watch:
        computers.wire.link_down()
        watch.wait_for("the link is lost; the job continues on the host without it")
        computers.until_more(3)
        for words in (["status"], ["job", "show", "1"], ["job", "hold", "1"]):
            code, said = computers.here("usbshare-bridge", *words)
            assert (code, len(said.splitlines())) == (1, 1), said
            assert "cannot be reached" in said
        computers.wire.link_up()
        watch.wait_for("the link is back")
        assert computers.here("usbshare-bridge", "job", "hold", "1")[0] == 0
        watch.wait_for("held")
        computers.wire.link_down()
        watch.wait_for("the link is lost; the job stays held on the host")
        computers.wire.link_up()
        until(lambda: watch.output.count("the link is back") == 2, "the link is back")
        assert computers.here("usbshare-bridge", "job", "resume", "1")[0] == 0
        assert computers.here("usbshare-bridge", "job", "cancel", "1")[0] == 0
        assert watch.wait() == 1
        assert "job 1 part.nc: cancelled" in watch.output.splitlines()[-1]


def test_a_job_goes_on_while_the_computer_sleeps(computers: Computers) -> None:
    with computers.watching() as watch:
        before = answered(watch)
        watch.process.send_signal(signal.SIGSTOP)
        computers.until_more(20)
        watch.process.send_signal(signal.SIGCONT)
        until(lambda: answered(watch) > before + 5, "what the job did meanwhile is shown")
        assert computers.here("usbshare-bridge", "job", "cancel", "1")[0] == 0
        assert watch.wait() == 1
        assert "job 1 part.nc: cancelled" in watch.output.splitlines()[-1]


def answered(watch: Process) -> int:
    """Return how many lines were answered, as it was shown last."""
    return int(re.findall(r"(\d+) answered", watch.output)[-1])
