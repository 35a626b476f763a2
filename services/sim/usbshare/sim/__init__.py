"""Simulated controllers: firmware, serial line and device, all on injected time."""
