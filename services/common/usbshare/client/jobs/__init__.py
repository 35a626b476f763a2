"""Calls to the job service of a host."""
