"""The picture on the PC: one stream from the service, for any number of programs here."""
