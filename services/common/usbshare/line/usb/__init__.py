"""USB devices behind serial ports, as the operating system lists them."""
