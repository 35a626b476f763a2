"""The gate in front of every RPC, and the RPCs about rights."""
