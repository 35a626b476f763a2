"""What `usbshare-bridge doctor` looks at, from the configuration to the virtual port."""
