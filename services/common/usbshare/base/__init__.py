"""What every part may use: files, threads, configuration and text; nothing of the domain."""
