"""Commands that every service's command line has."""
