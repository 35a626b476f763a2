"""Benchmarks of usbshare against its peers, all in one interleaved run: `python -m bench [NAME]`."""
