"""What a G-code file does on a machine: simulated before anything moves."""
