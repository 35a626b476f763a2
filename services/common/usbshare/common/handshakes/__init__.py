"""Handshakes that fail: read from gRPC's trace, explained, told in log and audit."""
