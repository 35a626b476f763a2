"""What every service shares: how it starts, its command line and its metrics."""
