"""One session with a remote serial port: credit, resumption, stops."""
