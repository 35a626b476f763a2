"""The machines that pages show and act on."""
