"""What stops a machine, what holds it, and what lets it go on."""
