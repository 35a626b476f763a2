"""The serial service's RPCs: unpack, one call, pack."""
