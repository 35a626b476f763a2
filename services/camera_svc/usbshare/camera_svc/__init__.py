"""The camera service: one capture a camera, one encoding a format, any number of viewers."""
