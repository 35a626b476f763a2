"""Serial devices on Linux and macOS."""
