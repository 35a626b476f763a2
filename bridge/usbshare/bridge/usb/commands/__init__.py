"""The subcommands of `usbshare-bridge usb`, one module each."""
