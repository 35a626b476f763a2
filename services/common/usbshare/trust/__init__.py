"""The certificates of a site: who issues them, what they say, when they end."""
