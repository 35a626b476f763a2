"""The camera service's RPCs: unpack, one call, pack."""
