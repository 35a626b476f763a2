"""What the machines of hosts are doing, for people and programs."""
