"""usb-svc and `usb list` as people use them: real processes and mTLS, fakes of the kernel's files.

`tests/vm` has devices that are attached in fact.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.json_schema import mistakes
from fakes.processes import Process, free_port, run, running
from fakes.usb_sysfs import UsbSysfs
from usbshare.client.usb.place import usb_place
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

DEADLINE_S = 60.0
ADAPTER, KEYBOARD = "0403:6001:A5", "046d:c31c:K1"


@dataclass(frozen=True, slots=True)
class Host:
    home: Path
    target: str
    service: Process
    usb: UsbSysfs


@contextmanager
def usb_host(home: Path, monkeypatch: pytest.MonkeyPatch, config: str = "") -> Iterator[Host]:
    usb = UsbSysfs(home / "root")
    adapter = usb.plug_in("1-1", "0403", "6001", serial="A5")
    usb.node(adapter, "ttyUSB0")
    usb.plug_in("1-2", "046d", "c31c", [(3, 1, 1)], serial="K1")
    monkeypatch.setenv("USBSHARE_USB_ROOT", str(home / "root"))
    file = home / "usbshare.toml"
    file.write_text(config)
    with running(["usb-svc", "--listen", "127.0.0.1:0", "--config", str(file)], home) as service:
        target = service.wait_for(r"ready at (127\.0\.0\.1:\d+)")[1]
        yield Host(home, target, service, usb)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with usb_host(tmp_path, monkeypatch) as made:
        yield made


def usb(host: Host, *words: str) -> tuple[int, str]:
    return run(["bridge", "usb", words[0], "--target", host.target, *words[1:]], host.home)


def listed(host: Host) -> dict[str, tuple[str, str]]:
    code, output = usb(host, "list", "--json")
    assert code == 0, output
    assert mistakes(json.loads(output), "usb_list") == []
    return {each["id"]: (each["state"], each["reason"]) for each in json.loads(output)}


def test_devices_are_listed_with_what_can_be_done(host: Host) -> None:
    assert listed(host)[ADAPTER] == ("available", "")
    state, reason = listed(host)[KEYBOARD]
    assert (state, "keyboard" in reason) == ("refused", True)
    code, output = usb(host, "list", "--match", "0403")
    assert (code, ADAPTER in output, KEYBOARD in output) == (0, True, False)


def test_a_device_that_is_not_lent_is_refused_with_layer_and_reason(host: Host) -> None:
    code, output = usb(host, "attach", KEYBOARD)
    assert code == 1
    assert f"device: USB device '{KEYBOARD}' is not lent: it is a keyboard" in output
    code, output = usb(host, "attach", "dead:beef")
    assert code == 1
    assert f"no device matches 'dead:beef'; there is: {ADAPTER}" in output
    assert "Traceback" not in output


def test_a_device_that_serial_svc_uses_is_refused_with_its_name(host: Host) -> None:
    host.usb.program(77, "/dev/ttyUSB0", "python3", "-m", "usbshare.serial_svc")
    code, output = usb(host, "attach", ADAPTER)
    assert code == 1
    assert f"device: USB device '{ADAPTER}' is held by serial-svc" in output


def test_a_device_that_is_listed_is_lent_whatever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with usb_host(tmp_path, monkeypatch, '[usb]\ndevices = ["046d:c31c"]\n') as host:
        assert listed(host)[KEYBOARD][0] == "available"
        refused = ("refused", "it is not listed in [usb] devices of this host")
        assert listed(host)[ADAPTER] == refused


def test_a_grant_without_devices_gives_none(host: Host) -> None:
    policy = host.home / "config/usbshare/policy.toml"
    grant = '[[grants]]\nwho = ["*"]\nrights = ["control"]\n'
    policy.write_text(grant)
    until(lambda: ADAPTER not in usb(host, "list")[1])
    policy.write_text(f'{grant}usb = ["0403:*"]\n')
    until(lambda: set(listed(host)) == {ADAPTER})


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end


def test_a_host_that_is_away_is_an_error_of_the_network(tmp_path: Path, host: Host) -> None:
    code, output = run(["bridge", "usb", "list", "--target", "127.0.0.1:9"], host.home)
    assert code == 1
    assert "network: " in output


def test_the_status_shows_that_nothing_is_attached(host: Host) -> None:
    code, output = run(["bridge", "usb", "status", "--json"], host.home)
    assert (code, json.loads(output)) == (0, [])
    code, output = run(["bridge", "usb", "detach", "--all"], host.home)
    assert code == 0
    code, output = run(["bridge", "usb", "detach", ADAPTER], host.home)
    assert (code, "is not attached here; attached: none" in output) == (1, True)


def test_usb_svc_is_announced_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    config = f'[discovery]\nlisten = "127.0.0.1:{port}"\ninterfaces = ["127.0.0.1"]\n'
    with usb_host(tmp_path, monkeypatch, f"{config}mdns = false\nbeacon = false\n") as host:
        file = str(tmp_path / "usbshare.toml")
        with running(["discovery-svc", "--config", file], tmp_path) as discovery:
            discovery.wait_for("discovery-svc ready at")
            host.service.wait_for("announced as")
            bundle = ClientBundle.load(tmp_path / "config/usbshare/client.pem")
            serial = Target("127.0.0.1", free_port())
            assert str(asyncio.run(usb_place(serial, bundle, port))) == host.target


def test_hosts_that_are_known_are_found_without_a_target(host: Host) -> None:
    port = host.target.rpartition(":")[2]
    file = host.home / "bridge.toml"
    file.write_text(
        "[discovery]\nmdns = false\nbeacon = false\n[hosts.Workshop]\n"
        f'address = "127.0.0.1"\nserial = 0\nusb = {port}\n'
    )
    bridge = ["bridge", "--config", str(file)]
    code, output = run([*bridge, "usb", "list", "--json"], host.home)
    found = {(each["host"], each["id"]) for each in json.loads(output)}
    assert (code, found) == (0, {("Workshop", ADAPTER), ("Workshop", KEYBOARD)})
    code, output = run([*bridge, "list"], host.home)
    assert (code, "usb-svc at port" in output) == (0, True), output
    code, output = run([*bridge, "list", "--json"], host.home)
    assert (code, mistakes(json.loads(output), "list")) == (0, []), output
    code, output = run([*bridge, "usb", "list", "--target", "Workshop"], host.home)
    assert (code, ADAPTER in output) == (0, True), output
    host.service.stop()
    code, output = run([*bridge, "usb", "list"], host.home)
    assert (code, "network: " in output) == (1, True), output


def test_a_host_that_is_away_does_not_hide_that_another_has_nothing(host: Host) -> None:
    for device in (host.usb.sys / "bus/usb/devices").iterdir():
        device.unlink()
    until(lambda: listed(host) == {})
    port = host.target.rpartition(":")[2]
    file = host.home / "bridge.toml"
    file.write_text(
        "[discovery]\nmdns = false\nbeacon = false\n"
        + "".join(
            f'[hosts.{name}]\naddress = "127.0.0.1"\nserial = 0\nusb = {place}\n'
            for name, place in (("Workshop", port), ("Attic", free_port()))
        )
    )
    code, output = run(["bridge", "--config", str(file), "usb", "list"], host.home)
    assert (code, "Attic is left out: network: " in output) == (0, True), output
    assert "HOST  ID  STATE  NAME  WHY" in output


def test_without_any_usb_service_it_is_said_what_helps(host: Host) -> None:
    file = host.home / "bridge.toml"
    file.write_text("[discovery]\nmdns = false\nbeacon = false\n")
    code, output = run(["bridge", "--config", str(file), "usb", "list"], host.home)
    assert (code, "no host with a USB service is known" in output) == (0, True), output


def doctor(host: Host) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return what usb-svc's doctor says, by check."""
    config = str(host.home / "usbshare.toml")
    words = ["usb-svc", "doctor", "--json", "--config", config, "--listen", host.target]
    code, output = run(words, host.home)
    said = json.loads(output[output.index("{") :])
    assert mistakes(said, "doctor") == []
    checks = said["checks"]
    return code, {each["check"]: (each["verdict"], each["measured"]) for each in checks}


def test_the_doctor_of_a_host_that_lends(host: Host) -> None:
    (host.usb.places.proc / "1/fd").mkdir(parents=True)
    code, found = doctor(host)
    assert (code, {verdict for verdict, _ in found.values()}) == (0, {"ok"}), found
    assert found["usbip-host"][1] == "usbip-host is loaded"
    assert found[f"device {ADAPTER}"][1] == "Maker A thing: can be lent"
    assert "not lent, it is a keyboard" in found[f"device {KEYBOARD}"][1]
    assert found["listen address"][1].endswith("the service is running and answers")
    assert "host certificate" in found


def test_the_doctor_says_what_keeps_a_device_from_being_lent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = '[usb]\ndevices = ["0403:6001", "1a86:7523"]\n'
    with usb_host(tmp_path, monkeypatch, config) as host:
        host.usb.program(77, "/dev/ttyUSB0", "python3", "-m", "usbshare.serial_svc")
        driver = host.usb.sys / "bus/usb/drivers/usbip-host"
        (driver / "match_busid").rename(driver / "gone")
        code, found = doctor(host)
        assert (code, found["usbip-host"][0], found["rights"][0]) == (1, "fail", "skip"), found
        assert found[f"device {ADAPTER}"] == ("warn", "Maker A thing: held by serial-svc")
        said = ("warn", "[usb] devices lists devices that are not plugged in: 1a86:7523")
        assert found["USB devices"] == said
        (driver / "gone").rename(driver / "match_busid")
        code, found = doctor(host)
        assert (code, found["rights"][0]) == (0, "warn")  # nobody may see process 1
        assert "1/fd" in found["rights"][1]


def test_metrics_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    config = f'[usb]\nmetrics = "127.0.0.1:{port}"\n'
    with usb_host(tmp_path, monkeypatch, config):
        answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE_S)
        text = answer.read().decode()
    assert 'usbshare_usb_devices{state="available"} 1.0' in text
    assert 'usbshare_usb_ended_total{cause="silence"} 0.0' in text
