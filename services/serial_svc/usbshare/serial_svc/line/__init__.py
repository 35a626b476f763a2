"""The owner of one device: what is written to it, when, and what comes from it."""
