"""Calls to a camera service."""
