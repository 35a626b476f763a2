"""A site's public-key infrastructure: who is in, who comes in, who is out."""
