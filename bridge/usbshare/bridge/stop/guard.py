"""The one outer rule of a stop: whatever happens to it, the person is told unless it is confirmed.

The attempt runs in a process of its own, so that also an abort in a library's C code, a terminal
that is stopped or a full disk behind stdout ends in the same words. What the attempt prints goes
through pipes: its byte never waits for whoever reads.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

REMEDY = "use the machine's own emergency stop"
SLOW_S, PATIENCE_S = 1.0, 2.0
UNCONFIRMED_EXIT = 1
_MOST_HEARD_BYTES = 4096
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
_ACTIONS = {
    "--hold": "hold",
    "--door": "safety door",
    "--resume": "resume",
    "--rearm": "re-arming",
}


class _Interrupted(BaseException):
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def guarded_stop(arguments: Sequence[str], attempt: Callable[[], None]) -> NoReturn:
    """Run the attempt and exit: 0 if it returns or exits with 0, else with words of its failure."""
    name, heard = _name(arguments), bytearray()
    try:
        _on_signals(_interrupt)
        code = _run_apart(attempt, name, heard) if hasattr(os, "fork") else _code_of(attempt)
    except _Interrupted as interruption:
        code = 128 + interruption.number
        tell(f"bridge: ended by {signal.Signals(interruption.number).name}", 2)
    except BaseException as error:  # whatever it is, the words below must come
        tell(f"bridge: {_in_words(error)}", 2)
        code = UNCONFIRMED_EXIT
    if code:
        tell(f"bridge: {name} not confirmed: {REMEDY}", 2)
        if "--json" in arguments:
            _tell_as_json(name, heard, code)
    os._exit(code)


def tell(line: str, descriptor: int = 1) -> None:
    """Print a line there, else on the other of stdout and stderr, else nowhere; never raises."""
    _relay(f"{line}\n".encode("utf-8", "backslashreplace"), descriptor)


def _name(arguments: Sequence[str]) -> str:
    return next((_ACTIONS[each] for each in arguments if each in _ACTIONS), "emergency stop")


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]


def _on_signals(handler: Callable[[int, object], NoReturn] | signal.Handlers) -> None:
    """Set what asks this process to end; what is ignored (`nohup`) stays ignored."""
    for number in _numbers():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _interrupt(number: int, _: object) -> NoReturn:
    raise _Interrupted(number)


def _code_of(attempt: Callable[[], None]) -> int:
    """Return the exit code of an attempt in this process; report what it raises in one line."""
    try:
        attempt()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        tell(str(error.code), 2)
        return UNCONFIRMED_EXIT
    except _Interrupted:
        raise
    except BaseException as error:  # the outer edge: one rule, not a list of failures
        tell(f"bridge: {_in_words(error)}", 2)
        return UNCONFIRMED_EXIT
    return 0


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _run_apart(attempt: Callable[[], None], name: str, heard: bytearray) -> int:
    """Run the attempt in a child and relay what it prints; returns its exit code.

    What it says on stderr is `heard`.
    """
    pipes = _pipes()
    # A launcher may have it ignored, which is inherited: a child's exit could then not be observed.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Nobody would end the child for a signal that comes before it is known here.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _numbers())
    try:
        child = os.fork()
    except OSError:  # no more processes for this user: then here
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for end in (end for pipe in pipes for end in pipe):
            os.close(end)
        return _code_of(attempt)
    if child == 0:
        _be_the_child(attempt, pipes, mask)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for _, writing in pipes:
            os.close(writing)
        _relay_all(dict(zip((reading for reading, _ in pipes), (1, 2), strict=False)), name, heard)
        return _exit_code(os.waitpid(child, 0)[1])
    except _Interrupted:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        raise


def _pipes() -> list[tuple[int, int]]:
    """Return pipes for stdout and stderr; none where there are no descriptors left."""
    made: list[tuple[int, int]] = []
    try:
        made += [os.pipe() for _ in range(2)]
    except OSError:
        for end in (end for pipe in made for end in pipe):
            os.close(end)
        return []
    return made


def _be_the_child(
    attempt: Callable[[], None], pipes: list[tuple[int, int]], mask: set[int | signal.Signals]
) -> NoReturn:
    code = UNCONFIRMED_EXIT
    try:
        _on_signals(signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for descriptor, (reading, writing) in enumerate(pipes, 1):
            os.close(reading)
            os.dup2(writing, descriptor)
            os.close(writing)
        # What Python says of objects that it tears down is no news of the stop.
        sys.unraisablehook = _say_nothing
        warnings.simplefilter("ignore")
        code = _code_of(attempt)
        _flush()
    finally:
        os._exit(code)


def _say_nothing(_: object) -> None:
    """Print nothing, in place of what prints tracebacks."""


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def _relay_all(sources: dict[int, int], name: str, heard: bytearray) -> None:
    """Pass on what the child prints until it ends; say meanwhile that nothing is confirmed yet."""
    began = time.monotonic()
    news = [(PATIENCE_S, _not_yet(name))]
    if name != _ACTIONS["--rearm"]:
        news.insert(0, (SLOW_S, _is_slow(name)))
    while sources:
        left_s = max(0.0, began + news[0][0] - time.monotonic()) if news else None
        ready = select.select(list(sources), [], [], left_s)[0]
        if not ready:
            tell(news.pop(0)[1], 2)
        for source in ready:
            if data := os.read(source, 65536):
                _relay(data, sources[source])
                if sources[source] == 2:
                    heard += data[-_MOST_HEARD_BYTES:]
            else:
                del sources[source]
                os.close(source)


def _is_slow(name: str) -> str:
    return f"bridge: {name}: waiting for the host to answer"


def _not_yet(name: str) -> str:
    why = f"no answer within {PATIENCE_S:g} s"
    if name == _ACTIONS["--rearm"]:  # which is no stop
        return f"bridge: {name}: waiting for the host ({why}); nothing changes until it answers"
    if name == _ACTIONS["--resume"]:  # nor is that
        return f"bridge: {name}: waiting for the machine to continue ({why})"
    return f"bridge: {name} not confirmed yet ({why}): {REMEDY}"


def _tell_as_json(name: str, heard: bytearray, code: int) -> None:
    import json  # noqa: PLC0415 - a stop does not wait for it

    lines = [line.strip() for line in heard.decode(errors="replace").splitlines() if line.strip()]
    why = lines[-1].removeprefix("bridge: ").removeprefix("Error: ") if lines else ""
    what = f"{name} not confirmed: {REMEDY}"
    error = f"{why}; {what}" if why else what
    tell(json.dumps({"error": error, "confirmed": False, "action": name, "exit_code": code}))


def _relay(data: bytes, descriptor: int) -> None:
    for target in (descriptor, 3 - descriptor):
        left = data
        try:
            while left:
                left = left[os.write(target, left) :]
        except OSError:
            data = left
        else:
            return


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        tell(f"bridge: the attempt was ended by {signal.Signals(-code).name}", 2)
        return 128 - code
    return code
