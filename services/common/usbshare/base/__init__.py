"""What everything else stands on: threads for what may block, and nothing of the domain."""
