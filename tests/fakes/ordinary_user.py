"""What root may and others may not: the tests' thread without one capability, for a while.

Linux asks the thread, so what a test does in its own thread is refused as to any other user:
tty_reopen() in drivers/tty/tty_io.c lets only CAP_SYS_ADMIN past another's TIOCEXCL.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN = 1, 2, 21
_VERSION_3 = 0x20080522
_DROP_AND_RUN = f"""
import ctypes, os, sys
PR_CAPBSET_DROP = 24
if ctypes.CDLL(None, use_errno=True).prctl(PR_CAPBSET_DROP, {CAP_SYS_ADMIN}, 0, 0, 0):
    raise OSError(ctypes.get_errno(), "prctl")
os.execv(sys.argv[1], sys.argv[1:])
"""
_SETS = struct.Struct("6I")  # effective, permitted, inheritable, each in two halves


@contextmanager
def without_capability(number: int = CAP_SYS_ADMIN) -> Iterator[None]:
    """Let this thread, and those that it starts, do only what the capability does not allow."""
    before = _capabilities()
    sets = list(_SETS.unpack(before))
    sets[3 * (number // 32)] &= ~(1 << number % 32)
    _set_capabilities(_SETS.pack(*sets))
    try:
        yield
    finally:
        _set_capabilities(before)


def as_ordinary_user(command: Sequence[str]) -> list[str]:
    """Return the command so that its process never has the capability, nor its children."""
    if not is_root():
        return list(command)
    return [sys.executable, "-c", _DROP_AND_RUN, *command]


def is_root() -> bool:
    """Return whether the tests run as root, who may do everything."""
    return os.geteuid() == 0


def _capabilities() -> bytes:
    sets = ctypes.create_string_buffer(_SETS.size)
    _call("capget", sets)
    return sets.raw


def _set_capabilities(sets: bytes) -> None:
    _call("capset", ctypes.create_string_buffer(sets, _SETS.size))


def _call(name: str, sets: ctypes.Array[ctypes.c_char]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = ctypes.create_string_buffer(struct.pack("Ii", _VERSION_3, 0), 8)
    if getattr(libc, name)(header, sets) != 0:
        raise OSError(ctypes.get_errno(), name)
