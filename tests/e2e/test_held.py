"""Nothing goes on by itself: what waited needs a person, a lost job is nobody's any more."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.job_rig import Job, Rig, open_port, rig, until
from fakes.machine import DOOR, Machine, simulated_machine
from fakes.network import running_network
from fakes.processes import Process, events, run, running, serial_service
from usbshare.bridge.demo.engraving import engraving_lines

pytestmark = pytest.mark.apart

LINK_TIMEOUT_S = 2.0  # a busy machine leaves a process a second without its turn
RESET, RESUME = b"\x18", b"~"
LONG_MOVES = ["M4 S1000", *(f"G1 X{300 + n} Y{n} F60" for n in range(40))]


def listed(home: Path, target: str) -> dict[str, Any]:
    code, output = run(["bridge", "list", "--target", target, "--json"], home)
    assert code == 0, output
    ports = json.loads(output[output.index("[") :])
    (port,) = [each for each in ports if each["kind"] == "port"]
    assert isinstance(port, dict)
    return port


def passes(seconds: float) -> None:
    """Let time pass in which something could go on by itself."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, "time passes")


@contextmanager
def polling(descriptor: int) -> Iterator[None]:
    """Ask for the machine's state ten times a second, as programs do."""
    is_over = threading.Event()

    def poll() -> None:
        while not is_over.wait(0.1):
            os.write(descriptor, b"?")

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def told(descriptor: int, what: bytes) -> bytes:
    """Read until that comes."""
    heard = b""
    while what not in heard:
        assert select.select([descriptor], [], [], 60)[0], heard
        data = os.read(descriptor, 4096)
        assert data, "hung up"
        heard += data
    return heard


def test_a_machine_starved_by_lost_answers_does_not_continue_automatically(tmp_path: Path) -> None:
    lines = engraving_lines()[:400]
    with rig(tmp_path, link_timeout_s=LINK_TIMEOUT_S) as used:
        job = used.job(lines)
        with polling(job.descriptor):
            until(lambda: job.answered > 100, "the job runs")
            used.proxy.black_hole(up=False)
            until(lambda: DOOR in used.machine.received(), "the machine is held")
            passes(6)
            used.proxy.heal()
            until(lambda: events(used.bridge, "resumed"), "the session is taken up again")
            answered = job.answered
            passes(1)
            assert used.machine.beam_in_hold() == 0
            assert listed(used.home, used.service_target)["held"]["cause"] == "link loss"
            job.resume()
            until(lambda: job.answered > answered or not job.is_alive(), "the job goes on")
            job.finish()
        assert job.failure == ""
        assert listed(used.home, used.service_target)["held"] is None


def test_bytes_for_an_idle_machine_written_during_a_cut_wait_for_a_person(
    tmp_path: Path,
) -> None:
    with rig(tmp_path, link_timeout_s=LINK_TIMEOUT_S) as used:
        program = open_port(used.vcom)
        os.write(program, b"G0 X1\n")
        told(program, b"ok")
        with polling(program):
            passes(2)  # it is idle, and the program knows
        used.proxy.refuse()
        used.proxy.cut()
        until(lambda: events(used.bridge, "lost"), "the link is lost")
        os.write(program, b"G1 X10 F600\n")
        passes(3)
        used.proxy.heal()
        until(lambda: events(used.bridge, "held"), "it is told that bytes wait")
        passes(1)
        assert used.machine.received().replace(b"?", b"") == b"G0 X1\n"
        held = listed(used.home, used.service_target)["held"]
        assert (held["cause"], held["waiting_bytes"]) == ("waiting", 12)
        assert 2 < held["waiting_age_s"] < 30
        assert "--resume" in held["hint"]
        until(lambda: events(used.bridge, "status")[-1]["condition"], "the status line tells")
        assert "12 bytes wait" in events(used.bridge, "held")[-1]["text"]
        os.write(program, RESUME)
        until(lambda: used.machine.has(b"G1 X10"), "it goes on")
        until(lambda: events(used.bridge, "released"), "that it goes on is told")


def test_a_resume_of_what_waits_is_confirmed_though_there_are_no_bytes_for_the_machine(
    tmp_path: Path,
) -> None:
    with rig(tmp_path, profile="raw", link_timeout_s=LINK_TIMEOUT_S) as used:
        program = open_port(used.vcom)
        os.write(program, b"G0 X1\n")
        told(program, b"ok")
        resume = ["bridge", "stop", "--resume", "--target", used.service_target]
        code, output = run(resume, tmp_path)
        assert (code, "resume not confirmed" in output) == (1, True), "nothing waits"
        used.proxy.refuse()
        used.proxy.cut()
        until(lambda: events(used.bridge, "lost"), "the link is lost")
        os.write(program, b"G1 X10 F600\n")
        passes(2)
        used.proxy.heal()
        until(lambda: events(used.bridge, "held"), "it is told that bytes wait")
        code, output = run(resume, tmp_path)
        assert code == 0, output
        assert "what was held continues" in output
        until(lambda: used.machine.has(b"G1 X10"), "it goes on")


def test_a_finished_program_needs_no_person_after_an_interruption(tmp_path: Path) -> None:
    with rig(tmp_path, link_timeout_s=LINK_TIMEOUT_S) as used:
        program = open_port(used.vcom)
        os.write(program, b"G0 X1\n")
        told(program, b"ok")
        with polling(program):
            passes(2)
            used.proxy.refuse()
            used.proxy.cut()
            passes(3)
            used.proxy.heal()
            until(lambda: events(used.bridge, "resumed"), "the session is taken up again")
        os.write(program, b"G0 X2\n")
        until(lambda: used.machine.has(b"G0 X2"), "it is carried out")
        assert DOOR not in used.machine.received()
        assert not events(used.bridge, "held")


def burning(machine: Machine) -> bool:
    now = time.monotonic()
    return machine.beam_on_between(now - 0.001, now) > 0


def no_dead_job_runs(used: Rig, vcom: Path, bridge: Process, before: int) -> None:
    """Resume by a new program: the old one's moves stay undone, and so does what it writes."""
    program = open_port(vcom)
    os.write(program, RESUME)
    passes(0.5)
    os.write(program, b"G1 X5 F600\n")
    until(lambda: RESET in used.machine.received()[before:], "the machine is reset")
    until(lambda: events(bridge, "refused"), "the program is refused")
    os.write(program, RESUME)
    passes(1)
    since = used.machine.received()[before:]
    assert RESUME not in since.partition(RESET)[0]
    assert b"G1" not in since
    assert not burning(used.machine)
    os.write(program, RESET + b"G0 X2\n")
    until(lambda: used.machine.has(b"G0 X2", before), "a reset begins anew")


def test_a_new_bridges_resume_does_not_run_the_job_of_a_dead_one(tmp_path: Path) -> None:
    with rig(tmp_path, link_timeout_s=LINK_TIMEOUT_S) as used:
        used.job(LONG_MOVES)
        until(lambda: burning(used.machine), "the beam is on")
        used.bridge.process.kill()
        until(lambda: DOOR in used.machine.received(), "the machine is held")
        before = used.machine.received().index(DOOR)
        command = ["bridge", "--target", used.service_target, "--vcom", str(tmp_path / "B")]
        with running([*command, "--json"], tmp_path) as other:
            other.wait_for('"ready"')
            held = events(other, "held")
            assert held[-1]["latch"]["cause"] == "job lost"
            no_dead_job_runs(used, tmp_path / "B", other, before)


def test_a_restarted_service_knows_of_the_job_that_it_left_held(tmp_path: Path) -> None:
    with simulated_machine(tmp_path) as machine:
        config = tmp_path / "serial.toml"
        config.write_text(f'[ports.laser]\nsource = "{machine.path}"\nprofile = "grbl"\n')
        options = ("--config", str(config))
        with serial_service(tmp_path, *options) as (first, target):
            command = ["bridge", "--target", target, "--vcom", str(tmp_path / "COM10"), "--json"]
            with running(command, tmp_path) as bridge:
                bridge.wait_for('"ready"')
                Job(tmp_path / "COM10", LONG_MOVES).start()
                until(lambda: burning(machine), "the beam is on")
                first.stop()
        assert not burning(machine)
        before = len(machine.received())
        with serial_service(tmp_path, *options) as (service, target):
            service.wait_for("reset the machine of a lost job")
            until(lambda: RESET in machine.received()[before:], "the machine, too, has seen it")
            assert machine.received()[before:].replace(b"?", b"") == DOOR + RESET
            latch = listed(tmp_path, target)["latch"]
            assert latch["cause"] == "job lost"
            code, output = run(["bridge", "list", "--target", target], tmp_path)
            assert code == 0
            assert "job lost" in output


def test_a_program_over_tcp_that_comes_again_is_refused_until_a_person_rearms(
    tmp_path: Path,
) -> None:
    with simulated_machine(tmp_path) as machine:
        config = tmp_path / "serial.toml"
        config.write_text(
            f'[ports.laser]\nsource = "{machine.path}"\nprofile = "grbl"\n'
            f"link_timeout_s = {LINK_TIMEOUT_S}\nresume_window_s = 2\n"
        )
        with (
            serial_service(tmp_path, "--config", str(config)) as (_, target),
            running_network(target) as network,
            running(
                ["bridge", "--target", network.target, "--tcp", "127.0.0.1:0", "--json"], tmp_path
            ) as bridge,
        ):
            bridge.wait_for('"ready"')
            host, _, port = events(bridge, "ready")[0]["path"].rpartition("/")[2].rpartition(":")
            with socket.create_connection((host, int(port))) as program:
                program.sendall("\n".join([*LONG_MOVES[:3], ""]).encode())
                until(lambda: burning(machine), "the beam is on")
                network.refuse()
                network.cut()
                program.sendall(b"G1 X9 F60\n")
                program.settimeout(60)
                while program.recv(4096):  # it hangs up once the session has ended
                    pass
            network.heal()
            until(lambda: events(bridge, "connected")[1:], "there is a new session")
            until(lambda: events(bridge, "held"), "the lost job is told")
            with socket.create_connection((host, int(port))) as program:
                program.sendall(RESUME + b"G1 X8 F60\n")
                until(lambda: events(bridge, "refused"), "it is refused")
                until(lambda: RESET in machine.received(), "the machine is reset")
                assert not machine.has(b"G1 X8")
                assert not machine.has(b"G1 X9")
                assert run(["bridge", "stop", "--rearm", "--target", target], tmp_path)[0] == 0
                program.sendall(b"G0 X7\n")
                until(lambda: machine.has(b"G0 X7"), "a person has re-armed")
