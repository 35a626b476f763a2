"""Finding hosts: what is known of each, from which source, and whether it still lives."""
