"""What commands show: tables, the status line, JSON."""
