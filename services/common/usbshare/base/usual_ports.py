"""The TCP ports at which services listen unless their operator chose others."""

from __future__ import annotations

SERIAL_PORT = 50051
CAMERA_PORT = 50052
DISCOVERY_PORT = 50053
ENROLMENT_PORT = 50054
JOB_PORT = 50055
USB_PORT = 50056
