"""The discovery service's RPCs: unpack, one call, pack."""
