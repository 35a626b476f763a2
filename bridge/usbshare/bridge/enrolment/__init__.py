"""How this computer enrols with a host."""
