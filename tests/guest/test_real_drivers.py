"""What fakes vouch for elsewhere, on a kernel's own USB drivers in a virtual machine.

Run with `USBSHARE_GUEST=/path/to/guest USBSHARE_GUEST_SHARE=/its/shared/folder
python -m pytest -m hardware tests/guest`; see `machine.py`. The machine is slow: it is judged what
happens and in which order, and speed only against another program's beside it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from guest.machine import Guest

pytestmark = [
    pytest.mark.hardware,
    pytest.mark.timeout(3600),
    pytest.mark.skipif("USBSHARE_GUEST" not in os.environ, reason="USBSHARE_GUEST names no guest"),
]

TARGET = "127.0.0.1:50051"
BUNDLE = "/root/usbshare/client.pem"
SERVICE = f"env USBSHARE_HOME=/root/usbshare python3 -m usbshare.serial_svc --listen {TARGET}"
LIST = (
    f"env USBSHARE_HOME=/root/usbshare python3 -m usbshare.bridge list --target {TARGET}"
    " --timeout 60 --json"
)
GADGET = "0525:a4a7"  # g_serial with use_acm=1
RATIO = r"RESULT cdc_acm_bytes_per_s_ratio_to_line ([\d.]+)"


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    made = Guest()
    made.boot()
    made.run("modprobe g_serial use_acm=1")
    yield made
    made.stop()


@pytest.fixture
def service(guest: Guest) -> Iterator[Guest]:
    """The guest with a service that offers every port."""
    guest.run("rm -rf /root/usbshare")
    guest.begin(SERVICE, "/tmp/service.log")
    guest.wait_for("cat /tmp/service.log", "serial-svc ready at")
    yield guest
    guest.run("pkill -TERM -f usbshare.serial_svc; sleep 6; pkill -KILL -f usbshare.serial_svc")


def ports(guest: Guest) -> dict[str, str]:
    """Return the state of each port by the USB ids of its device."""
    guest.begin(f"sh -c '{LIST} 2>/dev/null; echo; echo ended'", "/tmp/list")
    listed = guest.wait_for("cat /tmp/list", r"(?s)^(.*)\nended$")[1]
    return {port["usb"]: port["state"] for port in json.loads(listed.strip() or "[]")}


def test_a_cdc_acm_port_is_as_fast_as_with_a_plain_writer(guest: Guest) -> None:
    guest.begin("env BENCH_CDC_S=5 BENCH_CDC_RUNS=1 python3 -m bench cdc_acm", "/tmp/cdc.log")
    found = guest.wait_for("cat /tmp/cdc.log", RATIO, deadline_s=900)
    assert float(found[1]) >= 0.95


def test_a_port_that_is_pulled_out_is_absent_or_gone(service: Guest) -> None:
    service.until(lambda: GADGET in ports(service))
    service.run("modprobe -r g_serial")
    service.until(lambda: ports(service).get(GADGET, "absent") == "absent")
    service.run("modprobe g_serial use_acm=1")
    service.until(lambda: ports(service).get(GADGET) == "available")


def test_the_service_ends_at_once_though_a_device_takes_nothing(service: Guest) -> None:
    url = f"usbshare://{TARGET}/?bundle={BUNDLE}"
    service.begin(
        'env USBSHARE_HOME=/root/usbshare python3 -c "import usbshare.bridge.pyserial as u, serial;'
        f"u.register();p=serial.serial_for_url('{url}',115200,write_timeout=5);"
        "p.write(b'G1X1\\n'*20000)\"",
        "/tmp/writer.log",
    )
    service.wait_for("cat /tmp/writer.log", "Timeout")
    took = service.run(
        "s=$(cut -d' ' -f1 /proc/uptime); pkill -TERM -f usbshare.serial_svc;"
        "while pgrep -f usbshare.serial_svc >/dev/null; do sleep 0.2; done;"
        "e=$(cut -d' ' -f1 /proc/uptime); echo \"$s $e\""
    ).split()
    assert float(took[1]) - float(took[0]) <= 15.0
