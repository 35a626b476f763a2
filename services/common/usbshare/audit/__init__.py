"""The audit log: who did what and when, in lines that are chained by their hashes."""
