"""What `usb-svc doctor` looks at."""
