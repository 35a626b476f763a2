"""The subcommands of a command line; for a misspelt one a similar one is suggested."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import click


class CommandGroup(click.Group):
    """Subcommands. `HINTS` are names that people try, each with the command that does it."""

    HINTS: ClassVar[dict[str, str]] = {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a usage error lists the others."""
        name = args[0]
        is_known = name in self.list_commands(ctx) or name.startswith("-")
        if not is_known and not ctx.resilient_parsing:
            hints = {**self._of_groups(ctx), **self.HINTS}
            ctx.fail(unknown_command(name, self.list_commands(ctx), hints))
        return super().resolve_command(ctx, args)

    def _of_groups(self, ctx: click.Context) -> dict[str, str]:
        """Return the commands of the groups in here, each with how it is called."""
        groups = [each for each in self.commands.values() if isinstance(each, click.Group)]
        return {
            name: f"{ctx.command_path} {group.name} {name}"
            for group in groups
            for name in group.list_commands(ctx)
        }


def unknown_command(name: str, commands: Iterable[str], hints: dict[str, str]) -> str:
    """Return the message for a command that does not exist."""
    import difflib  # noqa: PLC0415 - a command that exists does not wait for it

    said = f"No such command {name!r}."
    if name in hints:
        return f"{said} Use `{hints[name]}`."
    known = sorted(commands)
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)
    near += [each for each in known if each.startswith(name.lower()) and each not in near]
    if near:
        one_of = "one of " if len(near) > 1 else ""
        return f"{said} Did you mean {one_of}{' or '.join(map(repr, near))}?"
    return f"{said} There are: {', '.join(known)}."
