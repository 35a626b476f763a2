"""A network of the test process's own: loopback, and nothing that others say or listen at.

Tests of several workers, and whatever else runs on this computer, share ports and multicast
groups otherwise: a bridge that looks for hosts hears those of other tests.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
import sys

# linux/sched.h, linux/sockios.h, linux/if.h
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCSIFADDR, SIOCSIFNETMASK = 0x8916, 0x891C
IFF_UP = 1
# Of a computer that has loopback addresses alone, libc resolves no name for those who ask for
# addresses that are in use (AI_ADDRCONFIG). RFC 5737 has this one for documentation.
ADDRESS = "192.0.2.2"


def leave_shared_network() -> bool:
    """Have an empty network from now on, as have the processes that this one starts.

    False, and nothing is changed, where that needs rights that this process lacks. To be called
    before there are other threads: they stay where they are.
    """
    if sys.platform != "linux" or ctypes.CDLL(None).unshare(CLONE_NEWNET):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        name, flags = struct.unpack("16sh14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", name, flags | IFF_UP))
        for request_number, address in (
            (SIOCSIFADDR, ADDRESS),
            (SIOCSIFNETMASK, "255.255.255.255"),
        ):
            packed = socket.inet_aton(address)
            request = struct.pack("16sHH4s8x", b"lo:0", socket.AF_INET, 0, packed)
            fcntl.ioctl(control, request_number, request)
    return True
