"""Serial lines: what their drivers say, and how far it can be believed."""
