"""Pictures: encoded, checked, and drawn when there is none."""
