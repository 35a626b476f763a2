"""Virtual COM ports: a pty on Linux and macOS, the paired end of a com0com port on Windows."""
