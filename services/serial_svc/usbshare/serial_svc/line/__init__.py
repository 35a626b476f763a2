"""The owner of one device: what is written to it and when, and what is read from it."""
