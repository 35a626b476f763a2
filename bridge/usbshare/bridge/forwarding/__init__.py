"""A local port joined to a remote session."""
