"""What both ends of an attachment keep to: USB/IP in both directions of one stream, and beats."""

from __future__ import annotations

# A piece is heard when all of it has come: over 10 KB/s this one takes 1.6 s.
READ_BYTES = 16 * 1024
BEATS_A_TIMEOUT = 4
# How long a kernel may take no data.
TAKES_S = 10.0
