"""Jobs: programs that a machine runs, and what is known of them before."""
