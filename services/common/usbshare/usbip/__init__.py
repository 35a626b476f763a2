"""USB/IP, the protocol of Documentation/usb/usbip_protocol.rst of the Linux kernel, both ends."""
