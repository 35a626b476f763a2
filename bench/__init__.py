"""Benchmarks of usbshare against its peers, interleaved in one run: `python -m bench [NAME]`."""
