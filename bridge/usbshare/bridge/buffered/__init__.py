"""Answers a program's motion lines early, so that a slow link does not starve the machine."""
