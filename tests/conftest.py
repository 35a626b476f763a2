"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# No test depends on speed: a busy machine may take any time for an example.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
