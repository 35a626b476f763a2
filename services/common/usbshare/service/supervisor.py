"""Run every service of this computer as a child process, and restart those that end."""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click

from usbshare.base.event_loop import on_stop_signals, run
from usbshare.base.extras import why_not
from usbshare.base.logs import set_up_logging
from usbshare.base.standard_streams import ensure_standard_streams
from usbshare.base.watched_task import run_until

log = logging.getLogger(__name__)

SERVICES = ("serial-svc", "camera-svc", "discovery-svc", "job-svc")
CONFIG_EXIT = 2
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
GOOD_RUN_S = 60.0
STOP_TIMEOUT_S = 15.0
# Windows has no such signal; there Ctrl-C reaches every program of a console.
CAN_BE_ASKED = hasattr(signal, "SIGHUP")


class Child:
    """One service: running, or about to be restarted; its failures do not affect the others."""

    def __init__(self, command: Path, clock: Callable[[], float]) -> None:
        self._command = command
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None

    @property
    def name(self) -> str:
        """The service's name."""
        return self._command.stem

    async def keep_running(self) -> None:
        """Run it, restart it whenever it ends; return if its configuration is wrong initially.

        A service that fails later must not end the others, which may be running jobs. The pause
        before a restart doubles up to 30 s, and is short again after a long run.
        """
        pause_s = FIRST_PAUSE_S
        for attempt in itertools.count():
            started = self._clock()
            self._process = await asyncio.create_subprocess_exec(self._command)
            if (code := await self._process.wait()) == CONFIG_EXIT and attempt == 0:
                return
            if self._clock() - started > GOOD_RUN_S:
                pause_s = FIRST_PAUSE_S
            log.warning("%s ended (%s): restarting it in %g s", self.name, _end(code), pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def stop(self) -> None:
        """Ask it to end; kill it if it takes long."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if CAN_BE_ASKED:
            process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            log.warning("%s did not end within %g s: killed", self.name, STOP_TIMEOUT_S)
            process.kill()
            await process.wait()


async def run_services(commands: Sequence[Path]) -> int:
    """Run them until SIGINT, SIGTERM or a wrong configuration; return the exit code."""
    stopped = asyncio.Event()
    on_stop_signals(stopped.set)
    children = [Child(command, time.monotonic) for command in commands]
    try:
        await run_until(stopped, **{child.name: child.keep_running() for child in children})
        return 0 if stopped.is_set() else CONFIG_EXIT
    finally:
        await asyncio.gather(*(child.stop() for child in children))


def installed(folder: Path, names: Iterable[str] = SERVICES) -> list[Path]:
    """Return the commands of the services in the folder."""
    found = (shutil.which(name, path=str(folder)) for name in names)
    return [Path(each) for each in found if each]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[SERVICE]...", nargs=-1, type=click.Choice(SERVICES))
def cli(names: tuple[str, ...]) -> None:
    """Run services of this host until SIGINT or SIGTERM, and restart those that end.

    SERVICE is serial-svc, camera-svc, discovery-svc or job-svc; without any, all that are
    installed run.
    Each reads its configuration as if it were started alone.
    """
    set_up_logging("info")
    folder = Path(sys.executable).parent
    commands = installed(folder, dict.fromkeys(names) or filter(_has_its_extra, SERVICES))
    missing = set(names) - {command.stem for command in commands}
    if missing or not commands:
        absent = ", ".join(name for name in SERVICES if name in missing) or "no service"
        raise click.ClickException(f"not installed in {folder}: {absent}")
    sys.exit(run(run_services(commands)))


def main() -> None:
    """Run the command line."""
    ensure_standard_streams()
    cli()


def _has_its_extra(name: str) -> bool:
    """Return whether a service can run; logs why not."""
    if why := why_not(name):
        log.info("%s is left out: %s", name, why)
    return not why


def _end(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


if __name__ == "__main__":
    main()
