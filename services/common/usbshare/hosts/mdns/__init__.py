"""Everything that touches zeroconf: hosts announced and found by mDNS and DNS-SD."""
