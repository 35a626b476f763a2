"""The console's commands as a table: names, arguments, help, rights, and what carries them out.

Pure: every face of the console (prompt, pipe, TCP, UDP) reads the same table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from usbshare.base.errors import InvalidArgumentError, NotFoundError
from usbshare.bridge.console.lines import Line


class Asker(Protocol):
    """Who typed a command: the person at the prompt, or one program over a pipe, TCP or UDP."""

    name: str

    @property
    def holder(self) -> object:
        """In whose name a port is held."""
        ...

    def tell(self, line: Line) -> None:
        """Show a line."""

    @property
    def port_id(self) -> str:
        """The port that the asker uses; NotFoundError where none is chosen."""
        ...

    def use(self, port_id: str) -> None:
        """Use another port from now on."""

    def leave(self) -> None:
        """End the conversation."""


class When(Enum):
    """When a command is carried out."""

    AT_ONCE = "before everything queued"
    ANYTIME = "at the prompt at once, elsewhere in turn"
    IN_TURN = "after the lines before it"


Run = Callable[[Asker, Sequence[str]], Awaitable[Sequence[Line]]]


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `right` is what the host asks for, empty where it is not asked.

    `by_person` commands are refused over pipes, TCP and UDP. `arguments` is a word for each,
    optional ones in brackets; the last may be `...` for any number.
    """

    name: str
    help: str
    run: Run
    arguments: str = ""
    right: str = ""
    when: When = When.ANYTIME
    by_person: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The name with its arguments."""
        return f"{self.name} {self.arguments}".strip()

    def require_count(self, arguments: Sequence[str]) -> None:
        """Raise InvalidArgumentError unless so many arguments can be."""
        words = self.arguments.split()
        least = sum(not word.startswith("[") for word in words)
        if not least <= len(arguments) <= len(words):
            raise InvalidArgumentError(f"usage: `{self.usage}`")


@dataclass(frozen=True, slots=True)
class Call:
    """A command with the arguments that were given."""

    command: Command
    arguments: tuple[str, ...]


class Table:
    """The commands by name and alias."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = tuple(sorted(commands, key=lambda each: each.name))
        self._by_words = {
            tuple(name.split()): command
            for command in commands
            for name in (command.name, *command.aliases)
        }

    @property
    def names(self) -> list[str]:
        """Every name, without the aliases."""
        return [command.name for command in self.commands]

    def call(self, text: str) -> Call | None:
        """Return the command that a line calls, by its longest name; None where it calls none."""
        words = text.split()
        folded = tuple(word.casefold() for word in words)
        for size in range(len(words), 0, -1):
            if (command := self._by_words.get(folded[:size])) is not None:
                return Call(command, tuple(words[size:]))
        return None

    def help(self) -> list[str]:
        """Return a line for each command, and what else can be typed."""
        width = max(len(command.usage) for command in self.commands)
        rows = [f"{command.usage:{width}}  {command.help}" for command in self.commands]
        return [
            *rows,
            "",
            f"{'G0 X10':{width}}  G-code and `$` go to the machine, a line each",
            f"{'send LINE':{width}}  send any other line",
            f"{'? ! ~':{width}}  report, feed hold, resume: the machine obeys at once",
        ]

    def help_of(self, name: str) -> list[str]:
        """Return what is known of one command; NotFoundError where there is none."""
        if (call := self.call(name)) is None or call.arguments:
            raise NotFoundError(f"there is no command {name!r}: `help` lists the commands")
        command = call.command
        right = f"needs the right to {command.right}" if command.right else ""
        where = "only at the prompt" if command.by_person else ""
        also = f"also: {', '.join(command.aliases)}" if command.aliases else ""
        return [
            command.usage,
            *(f"  {each}" for each in (command.help, right, where, also) if each),
        ]
