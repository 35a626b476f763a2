"""`usbshare-bridge console` as people and programs use it: real processes, mTLS, sockets, ptys."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from shutil import which

import pytest

from fakes.console import Terminal, piped, terminal, until
from fakes.job_host import enqueued, job_host
from fakes.processes import DEADLINE_S, Process, free_port, run, running, serial_service
from fakes.serial_device import Acknowledging, SerialDevice, silent
from usbshare.base.threads import in_thread

PORTS = """
[ports.laser]
source = "sim://grbl"
profile = "grbl"
[ports.printer]
source = "sim://marlin"
profile = "marlin"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "usbshare.toml").write_text(PORTS)
    return folder


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[tuple[Process, str]]:
    with serial_service(home, "--config", str(home / "usbshare.toml")) as service:
        yield service


@pytest.fixture
def target(home: Path, served: tuple[Process, str]) -> Iterator[str]:
    yield served[1]
    run(["bridge", "stop", "--rearm", "--target", served[1], "--port", "laser"], home)


def console(target: str, *more: str) -> list[str]:
    return ["bridge", "console", "--target", target, "--port", "laser", *more]


# Pipes.


def test_a_pipe_is_answered_line_by_line_and_the_exit_code_tells_of_errors(
    home: Path, target: str
) -> None:
    typed = "device list\n$I\nG4 P0\nstatus\nrelease\nquit\n"
    ended = piped(console(target), home, typed)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended
    assert lines[0].startswith("HOST")
    assert any("laser" in line for line in lines[1:3])
    assert lines[lines.index("[VER:1.1h.20190830:]") :][:4] == [
        "[VER:1.1h.20190830:]",
        "[OPT:VNM,15,128]",
        "ok",
        "ok",
    ]
    assert any(line.startswith("    console     in control, link up") for line in lines)
    assert lines[-1] == "port 'laser' is free"
    assert "in control of port 'laser'" in ended.stderr


def test_mistakes_are_one_line_each_in_their_turn(home: Path, target: str) -> None:
    ended = piped(console(target), home, "hlep\nuse nothing\nG0 X1 (Ä)\nrearm\nendpoint add tcp\n")
    assert ended.returncode == 1
    assert ended.stdout.splitlines() == [
        "'hlep' is neither a command nor G-code (did you mean `help`?): `help` lists the commands",
        "the host has no port 'nothing': it has laser, printer",
        "the line is not plain text: only printable ASCII is sent",
        "`rearm` is only for a person at the prompt",
        "usage: `endpoint add KIND HOST:PORT`",
    ]


@pytest.mark.parametrize("line", ["G0 X1 ~", "G4 P0 (stop!)", "send $I?"])
def test_a_line_holds_nothing_that_the_firmware_obeys_ahead_of_it(
    home: Path, target: str, line: str
) -> None:
    ended = piped(console(target), home, f"{line}\nG4 P0\nrelease\n")
    refused, answered, *_ = ended.stdout.splitlines()
    assert "is a real-time command to this firmware, even within a line: leave it out" in refused
    assert answered == "ok"  # nothing of the line has come to the machine
    assert "Hold" not in ended.stderr


def test_a_resume_byte_names_the_hold_that_is_seen(home: Path, target: str) -> None:
    code, output = run(["bridge", "stop", "--hold", "--target", target, "--port", "laser"], home)
    assert code == 0, output
    ended = piped(console(target), home, "~\n")
    assert ended.stdout.startswith("resume on port 'laser': sent ~;"), ended
    ended = piped(console(target), home, "~\n")  # nothing is held: the machine may do with it
    assert ended.stdout == "sent ~ to port 'laser'\n", ended


@pytest.mark.parametrize("line", ["G0 X1 ~", "G0 X1 (Ä)"])
def test_send_passes_none_either(home: Path, target: str, line: str) -> None:
    code, output = run(["bridge", "send", "--target", target, "--port", "laser", line], home)
    assert code == 1
    assert "is a real-time command to this firmware" in output


def test_another_port_of_the_host_has_its_own_firmware(home: Path, target: str) -> None:
    ended = piped(console(target), home, "use printer\nM115\n~\n")
    assert "using port 'printer'\n" in ended.stdout
    assert "FIRMWARE_NAME" in ended.stdout
    # It overtakes, and is for the port that was named before it all the same.
    assert "the firmware of port 'printer' has no real-time byte ~\n" in ended.stdout


def test_a_port_that_another_client_holds_names_its_holder(home: Path, target: str) -> None:
    holding = ["bridge", "--target", target, "--port", "laser", "--tcp", "127.0.0.1:0"]
    with running(holding, home) as bridge:
        bridge.wait_for("ready: open")
        ended = piped(console(target), home, "G0 X1\nstatus\n")
        bridge.stop()
    assert ended.stdout.startswith("port 'laser' is held by usbshare://")
    assert "console     observing" in ended.stdout


@pytest.mark.parametrize("option", ["--listen", "--listen-udp"])
def test_an_address_that_others_reach_is_refused(home: Path, option: str) -> None:
    code, output = run(["bridge", "console", "--target", "nowhere", option, "0.0.0.0:2323"], home)
    assert code == 2
    assert output == (
        "bridge: refused to listen at 0.0.0.0:2323: anyone who can connect there could move the "
        "machine: use 127.0.0.1:2323"
    )


@pytest.mark.usefixtures("served")  # which makes the certificate
def test_a_host_that_is_away_is_one_line(home: Path) -> None:
    ended = piped(console("127.0.0.1:1"), home, "status\n")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "127.0.0.1:1" in ended.stderr.splitlines()[-1]


async def test_the_spooler_list_is_that_of_the_hosts_jobs(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        job = await enqueued(host.jobs())
        words = console(f"127.0.0.1:{host.serial_port}", "--job-port", str(host.job_port))
        typed = f"spooler list\njobs\njobs {job.job_id}\njobs 9999\njobs x\n"
        bundle = ["--bundle", str(tmp_path / "config" / "usbshare" / "client.pem")]
        ended = await in_thread(piped, [*words, *bundle], tmp_path, typed)
    lines = ended.stdout.splitlines()
    assert lines[0] == lines[2], ended
    assert lines[0].startswith("JOB")
    assert lines[1].split()[0] == str(job.job_id)
    assert any("queued" in line for line in lines[4:])
    assert lines[-1] == "'x' is not a job number: `jobs` lists them"
    assert "9999" in lines[-2]


# TCP and UDP.


@contextmanager
def listening(home: Path, target: str) -> Iterator[tuple[Process, int, int]]:
    """Run a console without a terminal; yields it, and its TCP and UDP ports."""
    more = ("--listen", "127.0.0.1:0", "--listen-udp", "127.0.0.1:0")
    with running(console(target, *more), home) as process:
        tcp = process.wait_for(r"listening at tcp://127\.0\.0\.1:(\d+)")
        udp = process.wait_for(r"listening at udp://127\.0\.0\.1:(\d+)")
        yield process, int(tcp[1]), int(udp[1])
        assert process.stop() == 0


class Program:
    """A program that speaks to the console over TCP."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self._read = bytearray()

    def until(self, end: bytes) -> str:
        return self.read_until(end).decode()

    def read_until(self, end: bytes) -> bytes:
        while (at := self._read.find(end)) < 0:
            got = self.socket.recv(4096)
            assert got, f"hung up after {bytes(self._read)!r}"
            self._read += got
        text = bytes(self._read[: at + len(end)])
        del self._read[: at + len(end)]
        return text

    def ask(self, line: str, end: str = "laser> ") -> str:
        self.socket.sendall(f"{line}\r\n".encode())
        return self.until(end.encode())

    def close(self) -> None:
        self.socket.close()


def test_two_programs_at_once_have_their_own_prompts_and_answers(home: Path, target: str) -> None:
    with (
        listening(home, target) as (_, tcp, _udp),
        closing(Program(tcp)) as one,
        closing(Program(tcp)) as other,
    ):
        assert one.until(b"> ") == other.until(b"> ") == "laser> "
        assert "using port 'printer'" in other.ask("use printer", "printer> ")
        answer = one.ask("$I", "ok\r\n")
        assert "[VER:1.1h" in answer
        assert "FIRMWARE_NAME" in other.ask("M115", "ok\r\n")
        assert "FIRMWARE_NAME" not in one.ask("status")


def test_telnet_is_refused_its_options_and_understood(home: Path, target: str) -> None:
    with listening(home, target) as (_, tcp, _udp), closing(Program(tcp)) as program:
        program.until(b"> ")
        # As Linux telnet begins on port 23: DO SUPPRESS-GO-AHEAD, WILL TERMINAL-TYPE.
        program.socket.sendall(b"\xff\xfd\x03\xff\xfb\x18sta\xff\xf1tus\r\0")
        assert program.read_until(b"\xff\xfe\x18") == b"\xff\xfc\x03\xff\xfe\x18"
        assert "laser (grbl): " in program.until(b"> ")


def test_socat_is_answered_to_the_end(home: Path, target: str) -> None:
    with listening(home, target) as (_, tcp, _udp):
        ended = subprocess.run(
            ["socat", "-t30", "-", f"TCP:127.0.0.1:{tcp}"],
            input=b"help\nG4 P0.5\n$I\nquit\n",
            capture_output=True,
            timeout=DEADLINE_S,
            check=True,
        )
    assert b"endpoint add" in ended.stdout
    assert ended.stdout.count(b"ok\r\n") == 2


def test_connections_from_browsers_are_closed(home: Path, target: str) -> None:
    with listening(home, target) as (_, tcp, _udp):
        for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nstop\r\n", b"POST /"):
            with closing(Program(tcp)) as program:
                program.until(b"> ")
                program.socket.sendall(request)
                assert _is_hung_up(program.socket)
        with socket.create_connection(("127.0.0.1", tcp), DEADLINE_S) as plain:
            context = ssl.create_default_context()
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain, server_hostname="localhost")
        with closing(Program(tcp)) as program:
            assert "laser" in program.ask("status")


def _is_hung_up(program: socket.socket) -> bool:
    """Return whether the connection ends, after what was said before."""
    try:
        while program.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def test_one_program_too_many_is_refused_with_a_reason(home: Path, target: str) -> None:
    with listening(home, target) as (_, tcp, _udp):
        programs = [Program(tcp) for _ in range(8)]
        for program in programs:
            program.until(b"> ")
        ninth = Program(tcp)
        assert ninth.until(b"\n") == "busy: 8 programs are connected\r\n"
        assert _is_hung_up(ninth.socket)
        for program in (*programs, ninth):
            program.close()


def test_a_program_that_does_not_read_delays_no_other(home: Path, target: str) -> None:
    with (
        listening(home, target) as (_, tcp, _udp),
        closing(Program(tcp)) as deaf,
        closing(Program(tcp)) as other,
    ):
        deaf.socket.setblocking(False)
        try:
            while deaf.socket.send(b"help\n" * 100):
                pass
        except BlockingIOError:
            pass
        other.until(b"> ")
        for _ in range(20):
            assert "laser" in other.ask("status")


def test_a_port_is_free_again_once_the_last_who_used_it_has_left(home: Path, target: str) -> None:
    with listening(home, target) as (_, tcp, _udp), closing(Program(tcp)) as watcher:
        watcher.until(b"> ")
        with closing(Program(tcp)) as leaver:
            leaver.until(b"> ")
            leaver.ask("G4 P0", "ok\r\n")
        watcher.until(b"released port 'laser'")
        watcher.until(b"observing port 'laser'")
        watcher.ask("status", "console     observing, link up")


def test_an_answer_for_a_program_that_left_goes_to_no_other(home: Path, target: str) -> None:
    with (
        listening(home, target) as (_, tcp, _udp),
        closing(Program(tcp)) as other,
    ):
        other.until(b"> ")
        with closing(Program(tcp)) as leaver:
            leaver.until(b"> ")
            leaver.ask("G4 P0", "ok\r\n")
            other.ask("G4 P0", "ok\r\n")
            leaver.socket.sendall(b"G4 P1.5\n?")
            leaver.until(b"<")  # so the line before has been given to the machine
        answer = other.ask("$I", "ok\r\n")
        assert "[VER:1.1h" in answer


def test_a_stop_overtakes_all_that_a_program_wrote_before_it(home: Path, target: str) -> None:
    with listening(home, target) as (_, tcp, _udp), closing(Program(tcp)) as program:
        program.until(b"> ")
        program.socket.sendall(b"G4 P1\n" * 600 + b"stop\n")
        said = program.until(b"emergency stop on port 'laser'")
        assert "lines discarded, not sent: an emergency stop" in said
        assert said.count("ok\r\n") < 64
    assert run(["bridge", "stop", "--rearm", "--target", target, "--port", "laser"], home)[0] == 0


@pytest.mark.skipif(
    signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="the tests were started by nohup"
)
def test_a_hangup_ends_the_console_and_frees_what_it_holds(home: Path, target: str) -> None:
    with running(console(target, "--listen", "127.0.0.1:0"), home) as process:
        tcp = process.wait_for(r"listening at tcp://127\.0\.0\.1:(\d+)")
        with closing(Program(int(tcp[1]))) as program:
            program.until(b"> ")
            program.ask("G4 P0", "ok\r\n")  # which takes control
            process.process.send_signal(signal.SIGHUP)
            assert process.wait() == 0
            with suppress(ConnectionResetError):
                while program.socket.recv(4096):
                    pass
    ended = piped(console(target), home, "G4 P0\n")
    assert "ok" in ended.stdout.splitlines(), ended


@pytest.mark.skipif(which("telnet") is None, reason="telnet is not installed")
def test_telnet_as_it_is_installed(home: Path, target: str) -> None:
    with listening(home, target) as (_, tcp, _udp):
        talking = ["telnet", "127.0.0.1", str(tcp)]
        with subprocess.Popen(
            talking, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as telnet:
            assert telnet.stdin is not None
            assert telnet.stdout is not None
            said = iter(telnet.stdout.readline, "")
            telnet.stdin.write("device list\n")
            assert any(re.search(r"\bport +laser\b", line) for line in said)
            telnet.stdin.write("quit\n")
            assert telnet.wait(DEADLINE_S) is not None  # hung up by the console


@pytest.mark.skipif(which("nc") is None, reason="nc is not installed")
def test_nc_as_it_is_installed(home: Path, target: str) -> None:
    with listening(home, target) as (_, tcp, udp):
        stream = ["nc", "-N", "127.0.0.1", str(tcp)]
        said = subprocess.run(
            stream, input="help\n$I\n", capture_output=True, text=True, timeout=60, check=True
        ).stdout
        assert "spooler" in said or "jobs" in said
        assert "[VER:1.1h" in said
        datagram = ["nc", "-u", "-w", "3", "127.0.0.1", str(udp)]
        said = subprocess.run(
            datagram, input="device list\n", capture_output=True, text=True, timeout=60, check=False
        ).stdout
        assert "laser" in said


def test_all_hosts_that_are_known_are_asked(home: Path, target: str, tmp_path: Path) -> None:
    config = tmp_path / "usbshare.toml"
    config.write_text(
        "[discovery]\nmdns = false\nbeacon = false\n"
        f'[hosts.Mill]\naddress = "127.0.0.2"\nserial = {free_port()}\n'
    )
    words = console(target)
    words[1:1] = ["--config", str(config)]
    alone = piped(words, home, "devices\n").stdout
    everywhere = piped(words, home, "devices all\n").stdout
    assert "Mill" not in alone
    assert alone.splitlines()[1:3] == everywhere.splitlines()[1:3]
    assert everywhere.splitlines()[-1].startswith("nothing listens at 127.0.0.2:")


def test_two_udp_senders_each_get_their_own_answers(home: Path, target: str) -> None:
    with listening(home, target) as (_, _tcp, udp), _sender(udp) as one, _sender(udp) as other:
        one.send(b"device list")
        other.send(b"$I\n")
        while not (answer := one.recv(2048)).startswith(b"HOST"):
            assert b"[VER" not in answer
            one.send(b"device list")  # a busy host may not have answered in time
        answer = b""
        while b"ok\n" not in answer:
            answer += other.recv(2048)
        assert b"[VER:1.1h" in answer
        other.send(b"rearm")
        while b"person at the prompt" not in (told := other.recv(2048)):
            assert b"HOST" not in told
        one.send(b"?")
        while b"<Idle" not in one.recv(2048):
            pass


@contextmanager
def _sender(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(DEADLINE_S)
        sender.connect(("127.0.0.1", port))
        yield sender


def test_a_stop_overtakes_the_lines_that_stream_and_makes_them_void(
    home: Path, target: str
) -> None:
    with (
        listening(home, target) as (_, tcp, udp),
        closing(Program(tcp)) as job,
        _sender(udp) as sender,
    ):
        job.until(b"> ")
        job.socket.sendall(b"G4 P1000\n" + b"G1 X1 F100\n" * 40)
        job.until(b"in control")
        sender.send(b"stop")
        answer = b""
        while b"latched until" not in answer:
            answer += sender.recv(2048)
        assert b"sent 0x18" in answer
        assert "lines discarded, not sent: an emergency stop" in job.until(b"emergency stop\r\n")
        assert "an emergency stop by" in job.ask("G0 X1", "releases it")


def test_a_stop_behind_its_own_lines_overtakes_them(home: Path, target: str) -> None:
    with listening(home, target) as (_, tcp, _udp), closing(Program(tcp)) as program:
        program.until(b"> ")
        program.socket.sendall(b"G4 P1000\n" + b"G1 X1\n" * 20 + b"stop\n")
        assert "emergency stop on port 'laser': sent 0x18" in program.until(b"latched until")


# Endpoints.


def test_endpoints_offer_the_port_to_one_program_at_a_time(home: Path, target: str) -> None:
    with listening(home, target) as (_, tcp, _udp), closing(Program(tcp)) as person:
        person.until(b"> ")
        paths = {}
        for kind in ("tcp", "udp", "rfc2217"):
            told = person.ask(f"endpoint add {kind} 127.0.0.1:0", f"{kind}://127.0.0.1:")
            assert "is offered at" in told or kind in told
            paths[kind] = int(person.until(b"\r\n"))
        assert "refused to listen" in person.ask("endpoint add tcp 0.0.0.0:0", "use 127.0.0.1")
        with closing(Program(paths["tcp"])) as program:
            program.socket.sendall(b"$I\n")
            assert "[VER:1.1h" in program.until(b"ok\r\n")
            assert "is using the port" in person.ask("G0 X1", "at any time")
            second = Program(paths["rfc2217"])
            assert _is_hung_up(second.socket)
            second.close()
        person.until(f"tcp://127.0.0.1:{paths['tcp']} was closed".encode())
        with _sender(paths["udp"]) as sender:
            sender.send(b"$I")
            answer = b""
            while b"ok\r\n" not in answer:
                answer += sender.recv(2048)
            assert b"[VER:1.1h" in answer
        removed = person.ask(f"endpoint remove 127.0.0.1:{paths['tcp']}", "removed tcp://")
        assert removed
        with pytest.raises(ConnectionRefusedError):
            Program(paths["tcp"])


# The prompt.


@contextmanager
def prompt(home: Path, target: str) -> Iterator[Terminal]:
    with terminal(console(target), home) as shown:
        shown.wait_for("lists the commands")
        shown.wait_for("laser>")
        yield shown


def test_a_person_at_a_terminal_has_completion_and_history_and_can_quit(
    home: Path, target: str
) -> None:
    with prompt(home, target) as shown:
        shown.type("stat\t\r")
        shown.wait_for(r"laser \(grbl\): Idle")
        shown.ask("$I", "ok")
        shown.ask("stop", "latched until `rearm`")
        shown.ask("G0 X1", "emergency stop by")
        shown.ask("rearm", "accepts programs again")
        shown.ask("$X", "ok")
        shown.type("\x03")
        shown.wait_for("to end: `quit` or Ctrl-D")
        shown.type("\x04")
        assert shown.process.wait(DEADLINE_S) in (0, 1)
    with prompt(home, target) as shown:
        shown.type("\x1b[A\x1b[A\r")  # up, up: `rearm`, which is not needed now
        shown.wait_for("is not latched")
        shown.ask("quit", "")
        assert shown.process.wait(DEADLINE_S) == 0


def test_nothing_continues_by_itself_at_the_prompt_after_the_host_was_away(
    home: Path, served: tuple[Process, str], target: str
) -> None:
    service = served[0].process
    with prompt(home, target) as shown:
        shown.ask("G4 P0", "ok")
        shown.ask("G4 P1000", "laser>")
        shown.type("G0 X1\r")
        service.send_signal(signal.SIGSTOP)
        try:
            shown.wait_for("1 line discarded, not sent: the link was lost")
            shown.ask("G0 X2", "not sent: the link to the host is down")
            shown.type("stop\r")
            shown.wait_for("not confirmed yet")
        finally:
            service.send_signal(signal.SIGCONT)
        # A connection each.
        shown.wait_for_all("emergency stop on port 'laser': sent 0x18", "session resumed")
        shown.ask("rearm", "accepts programs again")
        shown.ask("$X", "ok")


def test_a_machine_that_was_unplugged_boots_before_it_gets_a_line(tmp_path: Path) -> None:
    link, boots_s = tmp_path / "tty-laser", 1.0
    (tmp_path / "laser.toml").write_text(f'[ports.laser]\nsource = "{link}"\nprofile = "grbl"\n')

    def boot() -> None:
        device.answer = Acknowledging()
        device.say(b"\r\nGrbl 1.1h ['$' for help]\r\n")

    with (
        SerialDevice(link, Acknowledging()) as device,
        serial_service(tmp_path, "--config", str(tmp_path / "laser.toml")) as (service, target),
        prompt(tmp_path, target) as shown,
    ):
        shown.ask("G4 P0", "ok")
        notes = tmp_path / ".local/state/usbshare/serial-svc"
        until(lambda: not [*notes.glob("active-*/port-*")], "the machine is known to rest")
        device.unplug()
        shown.wait_for("is gone")
        device.answer = silent  # what comes while it boots is lost
        device.plug_in()
        until(lambda: service.output.count("port 'laser' opened") == 2, "it is open again")
        booting = threading.Timer(boots_s, boot)
        booting.start()
        shown.ask("G4 P1", "ok")
        booting.join()
