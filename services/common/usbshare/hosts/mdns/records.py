"""The parts of a DNS message, as python-zeroconf has them, and the numbers of RFC 1035 and 6762."""

# Its `__all__` leaves them out, its own interface (`async_send`, `DNSCache`) is made of them.
from zeroconf import (  # type: ignore[attr-defined]
    DNSOutgoing,
    DNSPointer,
    DNSQuestion,
    DNSRecord,
    DNSService,
    ServiceRegistry,
)

CLASS_IN = 1
TYPE_PTR, TYPE_SRV, TYPE_ANY = 12, 33, 255
FLAGS_QUERY, FLAGS_ANSWER = 0x0000, 0x8400

__all__ = [
    "CLASS_IN",
    "FLAGS_ANSWER",
    "FLAGS_QUERY",
    "TYPE_ANY",
    "TYPE_PTR",
    "TYPE_SRV",
    "DNSOutgoing",
    "DNSPointer",
    "DNSQuestion",
    "DNSRecord",
    "DNSService",
    "ServiceRegistry",
]
