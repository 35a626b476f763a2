"""Where the time of a round trip goes, and what to do about it."""
