"""The console: one table of commands, at a prompt, over a pipe, over TCP and over UDP."""
