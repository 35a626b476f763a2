"""The USB devices of this host: which there are, which may be lent, and who uses them."""
