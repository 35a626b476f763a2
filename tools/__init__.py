"""Tools for developers: run them with `python -m tools.NAME` in the clone."""
