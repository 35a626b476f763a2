"""The hosts that pages show."""
