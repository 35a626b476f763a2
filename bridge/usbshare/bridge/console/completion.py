"""What Tab offers at the console's prompt: commands, ports, jobs, endpoints. Mostly pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from usbshare.bridge.console.table import Table

Offers = Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to be named now."""

    ports: Offers
    jobs: Offers
    endpoints: Offers


def offered(table: Table, before: str, known: Known) -> list[str]:
    """Return what the word before the cursor may become, given the whole line before it."""
    words = before.split()
    if not before or before[-1:].isspace():
        words.append("")
    begun, word = words[:-1], words[-1].casefold()
    found = {
        name_words[len(begun)]
        for name in table.names
        if (name_words := name.split())[: len(begun)] == begun and len(name_words) > len(begun)
    }
    match begun:
        case ["use"]:
            found.update(known.ports())
        case ["jobs"]:
            found.update(known.jobs())
        case ["help"]:
            found.update(name.split()[0] for name in table.names)
        case ["devices"]:
            found.add("all")
        case ["endpoint", "add"]:
            found.update(("tcp", "udp", "rfc2217"))
        case ["endpoint", "add", _]:
            found.add("127.0.0.1:")
        case ["endpoint", "remove"]:
            found.update(known.endpoints())
    return sorted(each for each in found if each.casefold().startswith(word))


class ConsoleCompleter(Completer):
    """Offers what `offered` returns."""

    def __init__(self, table: Table, known: Known) -> None:
        self._table = table
        self._known = known

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterable[Completion]:
        """Yield what the word before the cursor may become."""
        before = document.text_before_cursor
        word = "" if not before or before[-1:].isspace() else before.split()[-1]
        for each in offered(self._table, before.lstrip(), self._known):
            yield Completion(each, start_position=-len(word))
