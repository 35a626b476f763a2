"""Sources of hosts besides mDNS."""
