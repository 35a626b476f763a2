"""What the panel is given of this computer: its certificate, its bridges, its check-up."""
