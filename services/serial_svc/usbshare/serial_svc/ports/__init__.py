"""The ports of this host, and how each looks from outside."""
