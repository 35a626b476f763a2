"""The checks of `usb-svc doctor`."""
