"""Local ports: bridge processes that offer a machine to the programs of this computer."""
