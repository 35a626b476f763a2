"""Why a TLS handshake or a connection failed, in words."""
