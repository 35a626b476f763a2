"""`completion`: the lines that make a shell complete a program's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

_CLASSES = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


def completion_command(program: str) -> click.Command:
    """Return the command that prints them, for a file that the shell reads when it starts."""

    @click.command("completion", short_help="Print a shell's completion script for this program.")
    @click.argument("shell", type=click.Choice(list(_CLASSES)))
    def completion(shell: str) -> None:
        click.echo(script(program, shell))

    completion.help = (
        "Print the script that makes a SHELL complete commands, options, hosts and ports.\n\n\b\n"
        f'bash: eval "$({program} completion bash)" in ~/.bashrc\n'
        f'zsh:  eval "$({program} completion zsh)" in ~/.zshrc, after compinit\n'
        f"fish: {program} completion fish > ~/.config/fish/completions/{program}.fish"
    )
    return completion


def script(program: str, shell: str) -> str:
    """Return the lines for a shell."""
    found = _CLASSES[shell]
    variable = f"_{program}_COMPLETE".replace("-", "_").upper()
    made = found(click.Command(program), {}, program, variable)
    return made.source_template % made.source_vars()
