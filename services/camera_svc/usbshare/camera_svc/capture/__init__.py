"""Cameras and other sources of pictures: found, opened, read."""
