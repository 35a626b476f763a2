"""Starting with the computer: systemd units and tasks of Windows."""
