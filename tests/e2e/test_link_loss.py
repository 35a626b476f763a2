"""The link of a running job is cut: the beam goes off, a person resumes, nothing is lost.

`pytest -m slow` does it fifty times; figures are printed. How soon the machine is held depends on
everything else that runs on this one: that bound holds, and is looked at, on an idle machine.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from fakes.job_rig import DEADLINE_S, FrontEnd, Job, Rig, rig, until
from fakes.machine import DOOR, simulated_machine
from fakes.namespaces import Wire, joined_namespaces
from fakes.processes import SCRIPTS, free_port, running
from usbshare.bridge.demo.engraving import engraving_lines

LINK_TIMEOUT_S = 1.0
GRACE_S = 0.25
LINES = 1200  # of the program, but for slow tests
Undisturbed = Callable[[int | None], list[list[float]]]
Cut = Callable[[Rig], Callable[[], None]]


def half_open(rig: Rig) -> Callable[[], None]:
    rig.proxy.black_hole()
    return rig.proxy.heal


def link_down(rig: Rig) -> Callable[[], None]:
    rig.proxy.refuse()
    rig.proxy.cut(rst=True)
    return rig.proxy.heal


def frozen(rig: Rig) -> Callable[[], None]:
    rig.bridge.process.send_signal(signal.SIGSTOP)
    return lambda: rig.bridge.process.send_signal(signal.SIGCONT)


def deaf(rig: Rig) -> Callable[[], None]:
    """Lose what goes to the bridge: its signs of life still come."""
    rig.proxy.black_hole(up=False)
    return rig.proxy.heal


def mute(rig: Rig) -> Callable[[], None]:
    """Lose what comes from the bridge: it still hears."""
    rig.proxy.black_hole(down=False)
    return rig.proxy.heal


CUTS = (half_open, link_down, frozen, deaf, mute)


class Person:
    """Presses resume each time the link is back: a busy machine also loses one that nobody cut."""

    def __init__(self, rig: Rig, job: Job) -> None:
        self._bridge, self._job = rig.bridge, job
        self._seen = self.resumed

    @property
    def resumed(self) -> int:
        """How often the session was taken up again."""
        return self._bridge.output.count('"resumed"')

    def wait_for(self, is_reached: Callable[[], bool], what: str) -> None:
        """Let the job go on to that; fails when it stands still."""
        answered, end = -1, 0.0
        while not is_reached():
            if self.resumed > self._seen:
                self._seen = self.resumed
                self._job.resume()
            if self._job.answered != answered:
                answered, end = self._job.answered, time.monotonic() + DEADLINE_S
            assert time.monotonic() < end, f"the job stands still before {what}"
            time.sleep(0.005)

    def finish(self) -> None:
        """See the job end as it should."""
        self.wait_for(lambda: not self._job.is_alive(), "its end")
        assert self._job.failure == ""


def passes(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, "time passes")


def cut_and_come_back(
    rig: Rig, job: Job, person: Person, how: Callable[[Rig], Callable[[], None]]
) -> float:
    """Cut the link of a running job and come back; returns when the machine was held."""
    resumed, doors = person.resumed, len(rig.machine.arrivals(DOOR))
    come_back = how(rig)
    cut_at = time.monotonic()
    until(lambda: len(rig.machine.arrivals(DOOR)) > doors, f"{how.__name__}: the machine is held")
    passes(GRACE_S + 0.2)
    come_back()
    until(lambda: person.resumed > resumed, "the session is taken up again")
    answered = job.answered
    passes(0.3)
    # serial-svc asks a held machine for its state.
    assert rig.machine.received().rstrip(b"?").endswith(DOOR), "nothing goes on by itself"
    burning_s = rig.machine.beam_in_hold(doors)
    assert burning_s == 0, f"{how.__name__}: the beam was on for {burning_s:.3f} s in the hold"
    person.wait_for(lambda: job.answered > answered or not job.is_alive(), "its next line")
    return rig.machine.arrivals(DOOR)[doors] - cut_at


def program_of(lines: int | None) -> list[str]:
    """Return the engraving, or its first lines and its end, which waits for moves."""
    program = engraving_lines()
    return [*program[:lines], *program[-4:]] if lines else program


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Return what a program engraves when nothing happens."""

    @cache
    def engraving(lines: int | None) -> list[list[float]]:
        with rig(tmp_path_factory.mktemp("calm"), link_timeout_s=LINK_TIMEOUT_S) as calm:
            job = calm.job(program_of(lines))
            Person(calm, job).finish()
            return calm.machine.engraving()

    return engraving


def lose_link_often(
    rough: Rig,
    lines: list[str],
    expected: list[list[float]],
    ways: Sequence[Cut],
    moments: list[int],
) -> None:
    job = rough.job(lines)
    person, held = Person(rough, job), []
    for number, moment in enumerate(moments):
        person.wait_for(lambda moment=moment: job.answered >= moment, f"line {moment}")  # type: ignore[misc]
        held.append(cut_and_come_back(rough, job, person, ways[number % len(ways)]))
    person.finish()
    assert rough.machine.engraving() == expected
    print(
        f"{len(moments)} cuts: held within {max(held):.3f} s, on an idle machine allowed "
        f"{LINK_TIMEOUT_S + GRACE_S:g} s; engraving equal, {len(expected)} pieces"
    )


def moments_of(lines: list[str], times: int, seed: int) -> list[int]:
    return sorted(random.Random(seed).sample(range(50, len(lines) - 200), times))


def lose_link_by_proxy(
    home: Path,
    expected: list[list[float]],
    times: int,
    seed: int,
    front_end: FrontEnd = "vcom",
    lines: int | None = LINES,
) -> None:
    program = program_of(lines)
    with rig(home, front_end=front_end, link_timeout_s=LINK_TIMEOUT_S) as rough:
        lose_link_often(rough, program, expected, CUTS, moments_of(program, times, seed))


def lose_link_by_wire(home: Path, expected: list[list[float]], times: int, seed: int) -> None:
    lines = program_of(LINES)
    with joined_namespaces() as wire, wired_rig(home, wire) as rough:

        def pulled(_: Rig) -> Callable[[], None]:
            wire.link_down()
            return wire.link_up

        def deafened(_: Rig) -> Callable[[], None]:
            wire.drop_packets(wire.host)
            return wire.heal

        def muted(_: Rig) -> Callable[[], None]:
            wire.drop_packets(wire.client)
            return wire.heal

        ways = (pulled, deafened, muted)
        lose_link_often(rough, lines, expected, ways, moments_of(lines, times, seed))


@contextmanager
def wired_rig(home: Path, wire: Wire) -> Iterator[Rig]:
    """Run service and bridge on two computers with a wire between them."""
    with simulated_machine(home) as machine:
        config = home / "serial.toml"
        config.write_text(
            f'[ports.laser]\nsource = "{machine.path}"\nprofile = "grbl"\n'
            f"link_timeout_s = {LINK_TIMEOUT_S}\n"
        )
        target = f"{wire.host.address}:50051"
        serve = [str(SCRIPTS / "serial-svc"), "--config", str(config), "--listen", target]
        join = [
            str(SCRIPTS / "bridge"),
            "--target",
            target,
            "--vcom",
            str(home / "COM10"),
            "--json",
        ]
        with running(wire.host.command(serve), home) as service:
            service.wait_for("ready at")
            with running(wire.client.command(join), home) as bridge:
                bridge.wait_for('"ready"')
                yield Rig(home, machine, None, bridge, target)


def test_a_cut_link_stops_the_beam_and_costs_nothing(
    tmp_path: Path, undisturbed: Undisturbed
) -> None:
    lose_link_by_proxy(tmp_path, undisturbed(LINES), 6, seed=1)


@pytest.mark.parametrize("front_end", ["tcp", "rfc2217"])
def test_a_cut_link_costs_a_program_over_the_network_nothing_either(
    tmp_path: Path, undisturbed: Undisturbed, front_end: FrontEnd
) -> None:
    lose_link_by_proxy(tmp_path, undisturbed(LINES), 5, seed=6, front_end=front_end)


@pytest.mark.slow
def test_a_link_cut_fifty_times_stops_the_beam_and_costs_nothing(
    tmp_path: Path, undisturbed: Undisturbed
) -> None:
    lose_link_by_proxy(tmp_path, undisturbed(None), 50, seed=2, lines=None)


def test_a_pulled_wire_stops_the_beam_and_costs_nothing(
    tmp_path: Path, undisturbed: Undisturbed
) -> None:
    lose_link_by_wire(tmp_path, undisturbed(LINES), 3, seed=5)


def test_a_killed_bridge_stops_the_beam(tmp_path: Path) -> None:
    with rig(tmp_path) as used:
        job = used.job(engraving_lines())
        until(lambda: job.answered > 100, "the job runs")
        used.bridge.process.kill()
        until(lambda: job.failure, "the program sees its port hang up")
        until(lambda: DOOR in used.machine.received(), "the machine is held")
        passes(GRACE_S + 0.3)
        assert used.machine.beam_in_hold() == 0


def test_a_service_that_was_killed_stops_the_machine_when_it_starts_again(tmp_path: Path) -> None:
    with simulated_machine(tmp_path) as machine:
        config = tmp_path / "serial.toml"
        config.write_text(f'[ports.laser]\nsource = "{machine.path}"\nprofile = "grbl"\n')
        target = f"127.0.0.1:{free_port()}"  # a service that starts again listens where it did
        arguments = ["serial-svc", "--config", str(config), "--listen", target]
        with running(arguments, tmp_path) as service:
            service.wait_for("ready at")
            bridge = ["bridge", "--target", target, "--vcom", str(tmp_path / "COM10"), "--json"]
            with running(bridge, tmp_path) as bridged:
                bridged.wait_for('"ready"')
                job = Job(tmp_path / "COM10", engraving_lines())
                job.start()
                until(lambda: job.answered > 100, "the job runs")
                service.process.kill()
                bridged.wait_for('"lost"')
                before = machine.received()
                with running(arguments, tmp_path) as again:
                    again.wait_for("was running a job when the service crashed")
                    again.wait_for("ready at")
                    until(lambda: len(machine.received()) > len(before), "bytes at the machine")
                    after = machine.received()[len(before) :]
                    assert after.startswith(b"\x84")
                    until(lambda: job.failure, "the program sees its port hang up")
                    assert b"G1" not in machine.received()[len(before) :]
