"""A serial line: its settings, its devices, and what firmware speaks over it."""
