"""The USB service: any USB device of this host, over USB/IP inside one gRPC stream."""
