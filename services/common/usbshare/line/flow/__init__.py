"""How firmware takes the lines of a program: what it answers, and how much it holds."""
