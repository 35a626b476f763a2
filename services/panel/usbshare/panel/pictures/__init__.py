"""Pictures for the page: video over a WebSocket, MJPEG and single pictures."""
