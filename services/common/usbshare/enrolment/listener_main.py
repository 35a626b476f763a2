"""The process that listens for newcomers: started by a service, ends with it or earlier.

`python -m usbshare.enrolment.listener_main OPTIONS`, with a pipe as standard input that its
service holds open. Nothing that callers do to it affects the service's own process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from usbshare.base.standard_streams import ensure_standard_streams
from usbshare.rpc.grpc_environment import prepare_grpc_to_serve, trace_handshakes

# It gets the processor time that the service's own work leaves.
NICE = 10
END_TIMEOUT_S = 2.0


def main() -> None:
    """Listen until no invitation is open, or until the service is gone."""
    ensure_standard_streams()
    prepare_grpc_to_serve()
    trace_handshakes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends this
    if hasattr(os, "nice"):
        os.nice(NICE)
    # gRPC reads its settings when it is imported.
    from usbshare.base.event_loop import run  # noqa: PLC0415
    from usbshare.enrolment.listener_options import ListenerOptions  # noqa: PLC0415
    from usbshare.enrolment.listener_service import Listener  # noqa: PLC0415

    listener = Listener(ListenerOptions.decode(sys.argv[1]))
    threading.Thread(target=_end_with_service, args=(listener.stop,), daemon=True).start()
    run(listener.serve())


def _end_with_service(stop: Callable[[], None]) -> None:
    """Wait for the end of standard input; end the process even if its event loop does not."""
    while True:
        with suppress(InterruptedError):
            if not os.read(0, 1):
                break
    stop()
    time.sleep(END_TIMEOUT_S)
    os._exit(0)


if __name__ == "__main__":
    main()
