"""The subcommands of `usbshare-bridge job`, one module each."""
