"""The subcommands of the bridge, a module each; a module is imported when its command runs."""
