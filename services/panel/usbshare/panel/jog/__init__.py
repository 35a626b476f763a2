"""Jogging while a button is held: a lease that the page renews, and short pieces."""
