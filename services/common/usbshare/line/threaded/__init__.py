"""Serial devices on threads: Windows ports, and every URL that pyserial knows."""
