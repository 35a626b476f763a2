"""A simulated laser bed as a camera."""
