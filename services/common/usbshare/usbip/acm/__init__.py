"""A serial port as a USB device, served to the computer that it is plugged into."""
