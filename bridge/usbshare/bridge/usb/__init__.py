"""USB devices of hosts, plugged into this computer."""
