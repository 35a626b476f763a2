"""What a file of G-code does on a machine, found in the simulator before anything moves."""
