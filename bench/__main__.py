"""Runs one benchmark by name, or all of them."""

from __future__ import annotations

import importlib
import signal
import sys

from bench.stage import BenchError

NAMES = (
    "round_trip",
    "throughput",
    "backlog",
    "job",
    "wifi_job",
    "stop",
    "camera",
    "panel",
    "panel_jog",
    "serial_beside_video",
    "serial_on_a_full_link",
    "renewal",
    "cdc_acm",
    "usbip",
    "usb_port",
    "idle",
    "limits",
    "rights",
    "estimate",
)


def main(names: list[str]) -> int:
    """Run; 0 when every benchmark came to its end."""
    wrong = [name for name in names if name not in NAMES]
    if wrong:
        print(f"no benchmark {', '.join(wrong)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return max([_run(name) for name in names or NAMES])


def _run(name: str) -> int:
    print(f"== {name}", flush=True)
    try:
        importlib.import_module(f"bench.{name}").main()
    except (BenchError, BrokenPipeError) as error:
        print(f"bench {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
