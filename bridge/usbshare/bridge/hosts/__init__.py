"""Which host is meant, where it is, and what it has."""
