"""The web panel: the functions of the bridge in a browser."""
