"""Motion under a finger: a lease that the page renews, and pieces too short to outlive it."""
