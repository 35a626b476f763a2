"""Devices lent to clients: the kernel's usbip-host, and who has which."""
