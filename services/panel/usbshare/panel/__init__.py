"""The page for people: what the bridge can do, in a browser of this computer."""
