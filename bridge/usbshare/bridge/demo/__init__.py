"""Everything on one computer, without hardware."""
