"""The jobs that pages show and act on."""
