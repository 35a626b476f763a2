"""What programs on this computer open: a pty, a com0com port, TCP, RFC 2217."""
