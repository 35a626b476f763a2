"""Settings files of the older tool, taken over once."""
