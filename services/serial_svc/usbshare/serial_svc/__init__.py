"""The serial service: ports, their sessions, the scheduler and the stop path."""
