"""What the doctors of the services have in common."""
