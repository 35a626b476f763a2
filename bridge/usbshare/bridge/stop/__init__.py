"""The stop command: the shortest way, and every way it can fail."""
