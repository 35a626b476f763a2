"""The ports of this host, and their description for clients."""
