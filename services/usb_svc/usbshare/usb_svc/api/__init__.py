"""The RPCs of the USB service."""
