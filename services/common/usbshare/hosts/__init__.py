"""Hosts on the network: what is known of each, from which source, and whether it answers."""
