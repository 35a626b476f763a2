"""The discovery service: announces this host's services and keeps a view of the other hosts."""
