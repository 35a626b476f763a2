"""A kernel without IPv6, for one program: `python no_ipv6.py PROGRAM ARGUMENTS…`.

Sockets of that family fail with EAFNOSUPPORT, as with `ipv6.disable=1` at boot or systemd's
RestrictAddressFamilies. By seccomp, which needs no rights and counts for all that it starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

# linux/prctl.h, linux/seccomp.h, linux/filter.h, linux/audit.h
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
_NUMBER_AT, _ARGUMENT_AT = 0, 16  # of struct seccomp_data
_SOCKET = {"x86_64": 41, "aarch64": 198}


def can_be() -> bool:
    """Return whether this computer can play one."""
    return sys.platform == "linux" and platform.machine() in _SOCKET


def forbid_ipv6() -> None:
    """Take IPv6 away from this process and all that it starts, for ever."""
    program = b"".join(
        struct.pack("HBBI", *step)
        for step in (
            (_LOAD, 0, 0, _NUMBER_AT),
            (_EQUALS, 0, 3, _SOCKET[platform.machine()]),
            (_LOAD, 0, 0, _ARGUMENT_AT),
            (_EQUALS, 0, 1, socket.AF_INET6),
            (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    steps = ctypes.create_string_buffer(program)
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(described), 0, 0),
    ):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid_ipv6()
    os.execvp(sys.argv[1], sys.argv[1:])
