"""The bridge: a remote serial port as a virtual COM port on this computer."""
