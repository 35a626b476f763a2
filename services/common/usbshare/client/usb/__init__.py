"""What speaks to a USB service."""
