"""The cameras that pages show."""
