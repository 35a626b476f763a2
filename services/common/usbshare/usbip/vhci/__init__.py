"""Devices plugged into this computer by software: Linux's vhci_hcd, and who may do it."""
