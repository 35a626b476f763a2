"""The parts of round trips, for the pages that show them."""
