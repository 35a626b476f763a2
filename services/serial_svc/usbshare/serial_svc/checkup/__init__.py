"""What `serial-svc doctor` looks at on this host; nothing here opens a device."""
