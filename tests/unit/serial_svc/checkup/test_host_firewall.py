"""What `serial-svc doctor` says of addresses and firewalls."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fakes.certificates import (
    make_site,
    serving,
)
from fakes.checked_host import RULES, adapter_in, checks_of, rules_in
from usbshare.base.checkup import Judgement, Verdict
from usbshare.serial_svc.checkup import brltty, firewall_linux, firewall_windows
from usbshare.serial_svc.checkup.firewall_ports import Opening, spans
from usbshare.serial_svc.checkup.steps import Examined
from usbshare.serial_svc.settings import Settings
from usbshare.service.checkup import host
from usbshare.trust.site import Site

WANTED = [
    Opening("tcp", 50051),
    Opening("tcp", 50052),
    Opening("tcp", 50053),
    Opening("udp", 5353),
    Opening("udp", 5004),
]


@pytest.fixture
def device() -> Iterator[Path]:
    """Return the path of a terminal that nobody else uses."""
    master, slave = os.openpty()
    path = Path(os.ttyname(slave))
    os.close(slave)
    yield path
    os.close(master)


def test_rules_that_are_masked_take_nothing(tmp_path: Path) -> None:
    rules_in(tmp_path / "etc", "")
    rules_in(tmp_path / "lib", RULES)
    adapter_in(tmp_path / "sys", None)
    found = brltty.judge_brltty(tmp_path / "sys", [tmp_path / "etc", tmp_path / "lib"])
    assert found.verdict is Verdict.OK


def test_a_free_address_is_fine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    found = host.judge_address(f"127.0.0.1:{port}", tmp_path / "client.pem")
    assert found.verdict is Verdict.OK
    assert "is free" in found.measured


async def test_an_address_that_the_service_has_is_fine(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    async with serving(site) as port:
        checks = await checks_of(listening_at(port, site), "listen address")
    check = checks["listen address"]
    assert check.judgement.verdict is Verdict.OK
    assert "the service is running and answers" in check.judgement.measured


def test_an_address_that_another_program_has_fails(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    with hanging_up() as port:
        found = host.judge_address(f"127.0.0.1:{port}", site.client_bundle)
    assert found.verdict is Verdict.FAILURE
    assert "address already in use" in found.remedy


@contextmanager
def hanging_up() -> Iterator[int]:
    """Take connections and close them at once; yields the port."""

    def hang_up() -> None:
        with suppress(OSError):
            while True:
                server.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def ufw(root: Path, rules: str, policy: str = "DROP", before: str = "") -> None:
    (root / "etc/ufw").mkdir(parents=True)
    (root / "etc/default").mkdir()
    (root / "etc/ufw/ufw.conf").write_text("# comment\nENABLED=yes\nLOGLEVEL=low\n")
    (root / "etc/ufw/user.rules").write_text(rules)
    (root / "etc/ufw/before.rules").write_text(before)
    (root / "etc/default/ufw").write_text(f'DEFAULT_INPUT_POLICY="{policy}"\n')


def tuple_line(action: str, protocol: str, ports: str, direction: str = "in") -> str:
    return f"### tuple ### {action} {protocol} {ports} 0.0.0.0/0 any 0.0.0.0/0 {direction}\n"


def test_no_firewall_is_fine(tmp_path: Path) -> None:
    assert firewall_linux.judge_firewall(WANTED, tmp_path).verdict is Verdict.OK
    (tmp_path / "etc/ufw").mkdir(parents=True)
    (tmp_path / "etc/ufw/ufw.conf").write_text("ENABLED=no\n")
    assert firewall_linux.judge_firewall(WANTED, tmp_path).verdict is Verdict.OK


def test_ufw_without_rules_keeps_all_shut_and_the_commands_open_it(tmp_path: Path) -> None:
    ufw(tmp_path, tuple_line("allow", "tcp", "22"))
    found = firewall_linux.judge_firewall(WANTED, tmp_path)
    assert found.verdict is Verdict.WARNING
    assert found.measured == "ufw is on and blocks TCP 50051-50053, UDP 5004, UDP 5353"
    assert found.remedy == (
        "`sudo ufw allow 50051:50053/tcp && sudo ufw allow 5004/udp && sudo ufw allow 5353/udp`"
    )


@pytest.mark.parametrize(
    "rules",
    [
        tuple_line("allow", "tcp", "50051:50053") + tuple_line("allow", "udp", "5353,5004"),
        tuple_line("limit", "any", "50000:51000") + tuple_line("allow", "any", "5004:5353"),
        tuple_line("allow", "any", "any", "in_eth0"),
        tuple_line("allow", "any", "any", "in comment=6c61736572"),
    ],
    ids=["ranges", "limited", "interface", "comment"],
)
def test_ufw_with_rules_is_fine(tmp_path: Path, rules: str) -> None:
    ufw(tmp_path, rules)
    assert firewall_linux.judge_firewall(WANTED, tmp_path).verdict is Verdict.OK


@pytest.mark.parametrize(
    "rule",
    [
        tuple_line("deny", "any", "any"),
        tuple_line("allow", "any", "any", "out"),
        tuple_line("route:allow", "any", "any"),
        "### tuple ### allow any\n",
        "-A ufw-user-input -p tcp --dport 50051 -j ACCEPT\n",
    ],
)
def test_rules_that_do_not_let_us_in_count_for_nothing(tmp_path: Path, rule: str) -> None:
    ufw(tmp_path, rule)
    assert "TCP 50051-50053" in firewall_linux.judge_firewall(WANTED, tmp_path).measured


def test_ufw_lets_multicast_dns_in_as_it_is_shipped(tmp_path: Path) -> None:
    shipped = "-A ufw-before-input -p udp -d 224.0.0.251 --dport 5353 -j ACCEPT\n"
    ufw(tmp_path, tuple_line("allow", "tcp", "50051:50053"), before=shipped)
    found = firewall_linux.judge_firewall(WANTED, tmp_path)
    assert found.measured == "ufw is on and blocks UDP 5004"


def test_ufw_that_lets_everything_in_is_fine(tmp_path: Path) -> None:
    ufw(tmp_path, "", policy="ACCEPT")
    assert firewall_linux.judge_firewall(WANTED, tmp_path).verdict is Verdict.OK


def test_rules_that_only_root_may_read_are_said_to_be_unknown(tmp_path: Path) -> None:
    ufw(tmp_path, "")
    (tmp_path / "etc/ufw/user.rules").unlink()  # the tests may run as root, who may read all
    found = firewall_linux.judge_firewall(WANTED, tmp_path)
    assert found.verdict is Verdict.WARNING
    assert "only root can read its rules" in found.measured
    assert "sudo ufw allow 50051:50053/tcp" in found.remedy


def firewalld(root: Path, zone: str) -> None:
    (root / "etc/firewalld/zones").mkdir(parents=True)
    (root / "run").mkdir()
    (root / "run/firewalld.pid").write_text("77")
    (root / "etc/firewalld/firewalld.conf").write_text("# x\nDefaultZone=home\n")
    (root / "etc/firewalld/zones/home.xml").write_text(f"<zone>{zone}</zone>")


def test_firewalld_with_the_ports_is_fine(tmp_path: Path) -> None:
    ports = '<port protocol="tcp" port="50051-50053"/><port port="5004" protocol="udp"/>'
    firewalld(tmp_path, f'<service name="mdns"/>{ports}')
    assert firewall_linux.judge_firewall(WANTED, tmp_path).verdict is Verdict.OK


def test_firewalld_without_the_ports_is_warned_of(tmp_path: Path) -> None:
    firewalld(tmp_path, '<service name="ssh"/><port port="50051" protocol="udp"/>')
    found = firewall_linux.judge_firewall(WANTED, tmp_path)
    assert found.verdict is Verdict.WARNING
    assert "firewalld is on and blocks TCP 50051-50053" in found.measured
    assert found.remedy == (
        "`sudo firewall-cmd --permanent --add-port=50051-50053/tcp --add-port=5004/udp "
        "--add-port=5353/udp && sudo firewall-cmd --reload`"
    )


def test_firewalld_whose_files_only_root_may_read_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "run/firewalld").mkdir(parents=True)
    assert "only root can read" in firewall_linux.judge_firewall(WANTED, tmp_path).measured


def test_on_windows_the_commands_are_given() -> None:
    found = firewall_windows.judge_firewall(WANTED)
    assert "protocol=TCP localport=50051-50053" in found.remedy
    assert "protocol=UDP localport=5353" in found.remedy


def test_only_neighbours_become_a_span() -> None:
    openings = [Opening("tcp", 1), Opening("tcp", 2), Opening("tcp", 4), Opening("udp", 5)]
    assert list(spans(openings, "-")) == [("tcp", "1-2"), ("tcp", "4"), ("udp", "5")]


def listening_at(port: int, site: Site) -> Examined:
    settings = Settings.model_validate({"service": {"listen": f"127.0.0.1:{port}"}})
    return Examined(settings, Judgement(Verdict.OK, ""), site)
