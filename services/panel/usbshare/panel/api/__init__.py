"""Converts messages of page.proto into calls, and states into messages."""
