"""Sessions of clients with one port: control, observers, lost links."""
