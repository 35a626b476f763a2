"""Enrolment as people do it: two computers, one string, and the way out again."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.namespaces import Namespace, Wire, ip_command, joined_namespaces
from fakes.processes import (
    DEADLINE_S,
    SCRIPTS,
    SEND,
    Process,
    completed,
    environment,
    free_port,
    run,
    running,
    wait_for_listener,
)

pytestmark = pytest.mark.apart

LASER = '[ports.laser]\nsource = "sim://grbl"\n'


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Return the home of a host whose newcomers enrol at a port that is free."""
    home = tmp_path / "host"
    home.mkdir()
    write_settings(home, f"127.0.0.1:{free_port()}")
    return home


@pytest.fixture
def pc(tmp_path: Path) -> Path:
    home = tmp_path / "pc"
    home.mkdir()
    return home


@pytest.fixture
def wire() -> Iterator[Wire]:
    with joined_namespaces() as made:
        yield made


def write_settings(home: Path, enrolment: str, listen: str = "") -> None:
    folder = home / "config" / "usbshare"
    folder.mkdir(parents=True)
    service = f'[service]\nlisten = "{listen}"\n' if listen else ""
    (folder / "usbshare.toml").write_text(f'{LASER}[tls]\nenrolment = "{enrolment}"\n{service}')


@contextmanager
def serving(home: Path) -> Iterator[tuple[Process, str]]:
    with running(["serial-svc", "--listen", "127.0.0.1:0"], home) as service:
        target = service.wait_for(r"ready at (127\.0\.0\.1:\d+)")[1]
        yield service, target


def pki(home: Path, *arguments: str, prefix: Sequence[str] = ()) -> tuple[str, str]:
    """Run a command on the host; return what it printed for programs and for people."""
    done = completed(["serial-svc", "pki", *arguments], home, lambda words: [*prefix, *words])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def invite(home: Path, role: str = "operator", *more: str) -> str:
    string, told = pki(home, "invite", "--name", "office-pc", "--role", role, *more)
    wait_for_listener(told)
    assert re.fullmatch(r"usbshare1\.[A-Za-z0-9_-]+", string)
    return string


def invite_as(home: Path, name: str) -> str:
    string, told = pki(home, "invite", "--name", name, "--role", "operator")
    wait_for_listener(told)
    return string


def enroll(home: Path, string: str, *more: str) -> tuple[int, str]:
    return run(["bridge", "enroll", string, *more], home)


def let_in(home: Path, string: str) -> None:
    code, output = enroll(home, string)
    assert code == 0, output


def listed(home: Path) -> dict[str, dict[str, str]]:
    return {each["name"]: each for each in json.loads(pki(home, "list", "--json")[0])}


def send(home: Path, target: str) -> tuple[int, str]:
    return run(["bridge", *SEND, "--target", target, "$I"], home)


def test_a_new_computer_enrols_works_and_is_revoked(host: Path, pc: Path) -> None:
    with serving(host) as (service, target):
        code, output = enroll(pc, invite(host))
        assert code == 0, output
        assert "operators: view, stop, control" in output
        fingerprint = service.wait_for(r"enrolled office-pc .* fingerprint is (\S+)")[1]
        assert fingerprint in output
        assert listed(host)["office-pc"]["fingerprint"] == fingerprint
        bundle = pc / "config" / "usbshare" / "client.pem"
        assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
        service.wait_for("policy of .* is in force")
        code, output = send(pc, target)
        assert code == 0, output
        with running(["bridge", "--target", target, "--vcom", "COM10"], pc) as bridge:
            bridge.wait_for("ready: open")
            pki(host, "revoke", "office-pc", "--reason", "left the company")
            bridge.wait_for("revoked")
        assert "revoked" in send(pc, target)[1]
        assert listed(host)["office-pc"]["state"].endswith("left the company")
        assert "Traceback" not in service.output


def test_a_revocation_ends_the_streams_of_every_service(host: Path, pc: Path) -> None:
    camera_svc = ["camera-svc", "--listen", "127.0.0.1:0"]
    with serving(host) as (service, target), running(camera_svc, host) as cameras:
        camera = cameras.wait_for(r"ready at (127\.0\.0\.1:\d+)")[1]
        let_in(pc, invite(host))
        for each in (service, cameras):
            each.wait_for("policy of .* is in force")
        watch = ["bridge", "camera", "--target", camera, "--http", "127.0.0.1:0"]
        with (
            running(["bridge", "--target", target, "--vcom", "COM10"], pc) as bridge,
            running(watch, pc) as viewer,
        ):
            bridge.wait_for("ready: open")
            viewer.wait_for("camera demo is live")
            pki(host, "revoke", "office-pc")
            for each in (bridge, viewer):
                each.wait_for("the certificate of office-pc is revoked")


def test_a_revoked_identity_is_readmitted_with_another_role(host: Path, pc: Path) -> None:
    with serving(host) as (service, target):
        let_in(pc, invite(host))
        pki(host, "revoke", "office-pc")
        code, output = enroll(pc, invite(host, "viewer"))
        assert code == 0, output
        assert "office-pc gets a new one" in output
        service.wait_for(r"enrolled office-pc \(viewers\)")
        code, output = run(["bridge", "list", "--target", target], pc)
        assert code == 0, output
        code, output = send(pc, target)
        assert code == 1
        assert "right to control" in output


def test_a_revoked_certificate_of_another_name_makes_room(tmp_path: Path, pc: Path) -> None:
    host, port = tmp_path / "host", free_port()
    host.mkdir()
    write_settings(host, f"127.0.0.1:{free_port()}", f"127.0.0.1:{port}")
    with running(["serial-svc"], host) as service:
        service.wait_for("ready at")
        let_in(pc, invite(host))
        code, output = enroll(pc, other := invite_as(host, "other-pc"))
        assert code == 2
        assert "office-pc, valid until" in output
        assert "--force" in output
        pki(host, "revoke", "office-pc")
        end = time.monotonic() + DEADLINE_S  # until the service has read that it is revoked
        while (enrolled := enroll(pc, other))[0] != 0:
            assert time.monotonic() < end, enrolled[1]
        assert "office-pc is revoked" in enrolled[1]


def test_after_enrolment_a_bare_bridge_is_enough(tmp_path: Path, pc: Path) -> None:
    host, port = tmp_path / "host", free_port()
    host.mkdir()
    write_settings(host, f"127.0.0.1:{free_port()}", f"127.0.0.1:{port}")
    with running(["serial-svc"], host) as service:
        service.wait_for("ready at")
        code, output = enroll(pc, invite(host))
        assert code == 0, output
        command = f"usbshare-bridge --target 127.0.0.1:{port} --vcom COM10"
        assert re.search(rf"^next +{command}$", output, flags=re.MULTILINE)
        with running(["usbshare-bridge"], pc) as bridge:
            bridge.wait_for("connected to port 'laser'")
            bridge.wait_for("ready: open .*COM10")
            assert f"bridge: as enrolled: --target 127.0.0.1:{port}" in bridge.output
        with running(command.split(), pc) as bridge:
            bridge.wait_for("ready: open .*COM10")
        with running(["usbshare-bridge"], pc) as bridge:
            bridge.wait_for("bridge: as last time: --vcom COM10")


def test_a_host_with_several_ports_has_a_command_for_each(tmp_path: Path, pc: Path) -> None:
    host, port = tmp_path / "host", free_port()
    host.mkdir()
    write_settings(host, f"127.0.0.1:{free_port()}", f"127.0.0.1:{port}")
    settings = host / "config" / "usbshare" / "usbshare.toml"
    settings.write_text(settings.read_text() + '[ports.mill]\nsource = "sim://grbl"\n')
    with running(["serial-svc"], host) as service:
        service.wait_for("ready at")
        code, output = enroll(pc, invite(host))
        assert code == 0, output
        for each in ("laser", "mill"):
            assert f"usbshare-bridge --target 127.0.0.1:{port} --vcom COM10 --port {each}" in output
        with running(["usbshare-bridge", "--port", "mill"], pc) as bridge:
            bridge.wait_for("connected to port 'mill'")


def test_a_viewer_is_told_to_observe(tmp_path: Path, pc: Path) -> None:
    host, port = tmp_path / "host", free_port()
    host.mkdir()
    write_settings(host, f"127.0.0.1:{free_port()}", f"127.0.0.1:{port}")
    with running(["serial-svc"], host) as service:
        service.wait_for("ready at")
        code, output = enroll(pc, invite(host, "viewer"))
        assert code == 0, output
        found = re.search(r"^next +(usbshare-bridge .* --observe)$", output, flags=re.MULTILINE)
        assert found is not None
        with running(found[1].split(), pc) as bridge:
            bridge.wait_for("observing: open .*COM10")


def test_the_host_may_be_told_to_listen_elsewhere(host: Path, pc: Path) -> None:
    with serving(host) as (_, target):
        command = [str(SCRIPTS / "serial-svc"), "--listen", target, "pki", "invite"]
        string = subprocess.run(
            [*command, "--name", "office-pc", "--role", "operator"],
            env={"PATH": "/usr/bin:/bin", **environment(host)},
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE_S,
        ).stdout.strip()
        code, output = enroll(pc, string)
        assert code == 0, output
        assert f"usbshare-bridge --target {target} --vcom COM10" in output


def test_a_used_truncated_or_altered_string_admits_no_one(host: Path, pc: Path) -> None:
    with serving(host) as (service, _):
        string = invite(host)
        assert enroll(pc, string[:-3])[0] == 2
        let_in(pc, string)
        code, output = enroll(pc, string, "--force")
        assert code == 1
        assert "this host has no open invitation" in output
        pki(host, "invite", "--name", "another-pc", "--role", "viewer")
        service.wait_for("enrolment is open")
        code, output = enroll(pc, string, "--force")
        assert code == 1
        assert "was already used" in output
        service.wait_for("refused enrolment from 127.0.0.1: .* was already used")
        audit = run(["serial-svc", "audit", "show"], host)[1]
        assert "enrolment refused" in audit
        assert "invited" in audit


def test_revoking_withdraws_unused_invitations(host: Path, pc: Path) -> None:
    with serving(host):
        string = invite(host)
        let_in(pc, string)
        string = invite(host)
        assert "invitation for that name is no longer valid" in pki(host, "revoke", "office-pc")[1]
        assert enroll(pc, string, "--force")[0] == 1


def test_invite_waits_until_the_string_is_used(host: Path, pc: Path) -> None:
    arguments = ["serial-svc", "pki", "invite", "--name", "office-pc", "--role", "operator"]
    with serving(host), running([*arguments, "--wait"], host) as inviting:
        string = inviting.wait_for(r"^usbshare1\.\S+")[0]
        code, output = enroll(pc, string)
        assert code == 0, output
        fingerprint = inviting.wait_for(r"office-pc is enrolled, from 127\.0\.0\.1: .* key (\S+)")[
            1
        ]
        assert fingerprint in output
        assert inviting.wait() == 0


def test_an_invitation_without_a_service_says_what_is_missing(host: Path) -> None:
    text = pki(host, "invite", "--name", "office-pc", "--role", "operator")[1]
    assert "no service of this host answers" in text
    assert "usbshare-bridge enroll" in text


def test_an_impossible_request_is_refused_in_one_line(host: Path) -> None:
    pki(host, "invite", "--name", "first", "--role", "viewer")  # makes the site
    invite_as = ["invite", "--name"]
    for arguments, text in (
        ([*invite_as, "Office PC", "--role", "operator"], "is not a valid name"),
        ([*invite_as, "operators", "--role", "operator"], "is a group"),
        ([*invite_as, "operator", "--role", "operator"], "the host's own identity"),
        ([*invite_as, "pc", "--role", "boss"], "it has: admins, operators, viewers"),
        ([*invite_as, "pc", "--role", "viewer", "--expires", "soon"], "write a duration such as"),
        ([*invite_as, "pc", "--role", "viewer", "--expires", "8d"], "at most 7d"),
        ([*invite_as, "pc", "--role", "viewer", "--address", "a b"], "neither a DNS name"),
        (["revoke", "pd"], "no identity here is called 'pd'; available: host, job-svc, operator"),
        (["revoke", "host"], "the services of this host share the identity 'host'"),
        (["totp", "nobody"], "no identity here is called"),
    ):
        code, output = run(["serial-svc", "pki", *arguments], host)
        assert code != 0
        assert text in output
        assert "Traceback" not in output


def test_a_second_factor_is_shown_once(host: Path) -> None:
    pki(host, "invite", "--name", "first", "--role", "viewer")
    assert pki(host, "totp", "operator")[0].startswith("otpauth://totp/")
    code, output = run(["serial-svc", "pki", "totp", "operator"], host)
    assert code == 2
    assert "--replace" in output
    assert pki(host, "totp", "operator", "--replace")[0].startswith("otpauth://totp/")


@pytest.mark.parametrize("service", ["camera-svc", "discovery-svc"])
def test_every_service_has_the_commands(host: Path, service: str) -> None:
    code, output = run([service, "pki", "policy"], host)
    assert code == 0
    assert output.endswith("policy.toml: no such file: the default policy applies")


def test_between_two_computers_with_every_default(
    tmp_path: Path, host: Path, pc: Path, wire: Wire
) -> None:
    (host / "config" / "usbshare" / "usbshare.toml").write_text(LASER)
    interface = {"USBSHARE_DISCOVERY_INTERFACES": wire.host.interface}
    command = wire.host.command([str(SCRIPTS / "serial-svc")])
    service = Process(command, {**environment(host), **interface})
    try:
        service.wait_for("ready at")
        prefix = wire.host.command(["env", f"USBSHARE_DISCOVERY_INTERFACES={wire.host.interface}"])
        string, talk = pki(
            host, "invite", "--name", "office-pc", "--role", "operator", prefix=prefix
        )
        assert "no service" not in talk
        service.wait_for("enrolment is open")  # on a slow computer later than `invite` waits
        bridge = wire.client.command([str(SCRIPTS / "bridge")])
        code, output = run([*bridge, "enroll", string], pc)
        assert code == 0, output
        assert f"usbshare-bridge --target {wire.host.address} --vcom COM10" in output
        service.wait_for("policy of .* is in force")
        code, output = run([*bridge, *SEND, "--target", wire.host.address, "$I"], pc)
        assert code == 0, output
        assert "VER:1.1h" in output
    finally:
        assert service.stop() == 0


def test_between_two_computers_that_have_link_local_addresses_only(
    tmp_path: Path, host: Path, pc: Path, wire: Wire
) -> None:
    # A cable from one to the other, and nobody who gives addresses.
    (host / "config" / "usbshare" / "usbshare.toml").write_text(LASER)
    for each in (wire.host, wire.client):
        ip_command("-n", each.name, "-4", "address", "flush", "dev", each.interface)
        until_link_local(each)
    interface = {"USBSHARE_DISCOVERY_INTERFACES": wire.host.interface}
    service = Process(
        wire.host.command([str(SCRIPTS / "serial-svc")]), {**environment(host), **interface}
    )
    try:
        service.wait_for("ready at")
        prefix = wire.host.command(["env", f"USBSHARE_DISCOVERY_INTERFACES={wire.host.interface}"])
        invite_it = ["invite", "--name", "office-pc", "--role", "operator"]
        string, talk = pki(host, *invite_it, prefix=prefix)
        assert "no service" not in talk
        service.wait_for("enrolment is open")  # on a slow computer later than `invite` waits
        assert "[tls] names" not in talk
        _, talk = pki(host, *invite_it, "--address", "fe80::ff:fe00:1%wire", prefix=prefix)
        assert "[tls] names" not in talk
        bridge = wire.client.command([str(SCRIPTS / "usbshare-bridge")])
        code, output = run([*bridge, "enroll", string], pc)
        assert code == 0, output
        command = re.search(r"^next +usbshare-bridge (.+)$", output, flags=re.MULTILINE)
        assert command is not None
        assert "%wire" in command[1]
        code, output = run([*bridge, *SEND, *command[1].split()[:2], "$I"], pc)
        assert code == 0, output
        assert "VER:1.1h" in output
    finally:
        assert service.stop() == 0


def until_link_local(end: Namespace) -> None:
    """Wait until the end has its link-local address: the kernel asks first whether it is free."""
    show = [*end.command(["ip", "-6", "address", "show", "dev", end.interface, "-tentative"])]
    found, deadline = "", time.monotonic() + DEADLINE_S
    while "fe80::" not in found and time.monotonic() < deadline:
        found = subprocess.run(show, capture_output=True, text=True, check=True).stdout
        time.sleep(0.1)
    assert "fe80::" in found
