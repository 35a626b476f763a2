"""Runs the tests of this folder, and the benchmark of the USB port, in a virtual machine.

`tests/vm/run` calls it where USBSHARE_GUEST names one, see `tests/guest/machine.py`. Everything is
copied to the machine's own disk: over the shared folder an import takes a minute.
"""

from __future__ import annotations

import os
import re
import shlex
import sys

from guest.machine import PORTIONS, PYTHON, Guest

# Where another user can read it, too.
LOG, SITE, SOURCE, VENV = "/tmp/vm.log", "/opt/site", "/opt/src", "/opt/venv"
# In the shared folder: what was tried is known also where the machine ends first.
RECORD = "/host/cycles.jsonl"
LONGEST_S = 4 * 3600.0
# What no test here imports, and takes most of the room.
_LEFT_OUT = re.compile(r"\./(cv2|numpy|av|playwright|mypy|ruff|opencv|buf)[^/]*(/|$)|.*editable")
_PROGRAMS = {
    "serial-svc": "serial_svc",
    "usb-svc": "usb_svc",
    "bridge": "bridge",
    "usbshare-bridge": "bridge",
}


def main(arguments: list[str]) -> int:
    """Boot, run, show what was said; 0 if every test passed."""
    guest = Guest()
    guest.boot()
    try:
        _install(guest)
        cycles = os.environ.get("USBSHARE_CYCLES", "2")
        words = shlex.join(["-p", "no:cacheprovider", "-m", "vm", "tests/vm", *arguments])
        script = f"{VENV}/bin/python -m pytest {words} && {VENV}/bin/python -m bench usb_port"
        known = f"USBSHARE_CYCLES={cycles} USBSHARE_CYCLES_RECORD={RECORD} BENCH_READY_S=240"
        whole = f"rm -f {RECORD}; cd {SOURCE}; export {known}; {script}"
        guest.begin(f"sh -c {shlex.quote(f'{whole}; echo ended with $?')}", LOG)
        ended = guest.wait_for(f"cat {LOG}", r"ended with (\d+)", LONGEST_S)
        print(guest.run(f"cat {LOG}"))
        return int(ended[1])
    finally:
        guest.stop()


def _install(guest: Guest) -> None:
    guest.unpack("site", SITE, _LEFT_OUT)
    for part in (*PORTIONS, "bench", "tests"):
        guest.unpack(f"src/{part}", f"{SOURCE}/{part}", _LEFT_OUT)
    guest.run(f"cp /host/src/pyproject.toml {SOURCE}; python3 -m venv --without-pip {VENV}")
    paths = guest.run("echo $PYTHONPATH").strip().replace("/host/", "/opt/")
    lines = "\\n".join([*paths.split(":"), f"{SOURCE}/tests"])
    guest.run(f"printf '{lines}\\n' > {VENV}/lib/{PYTHON}/site-packages/here.pth")
    for program, module in _PROGRAMS.items():
        start = f"import sys; from usbshare.{module}.__main__ import main; sys.exit(main())"
        path = f"{VENV}/bin/{program}"
        guest.run(f"printf '#!{VENV}/bin/python\\n{start}\\n' > {path}; chmod 755 {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
