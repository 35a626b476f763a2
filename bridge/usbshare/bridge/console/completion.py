"""What Tab offers at the console's prompt: commands, ports, endpoints. Pure but for the toolkit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from usbshare.bridge.console.table import Table

Offers = Callable[[], Sequence[str]]


def offered(table: Table, before: str, ports: Offers, endpoints: Offers) -> list[str]:
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
            found.update(ports())
        case ["help"]:
            found.update(name.split()[0] for name in table.names)
        case ["devices"]:
            found.add("all")
        case ["endpoint", "add"]:
            found.update(("tcp", "udp", "rfc2217"))
        case ["endpoint", "add", _]:
            found.add("127.0.0.1:")
        case ["endpoint", "remove"]:
            found.update(endpoints())
    return sorted(each for each in found if each.casefold().startswith(word))


class ConsoleCompleter(Completer):
    """Offers what `offered` returns."""

    def __init__(self, table: Table, ports: Offers, endpoints: Offers) -> None:
        self._table = table
        self._ports = ports
        self._endpoints = endpoints

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterable[Completion]:
        """Yield what the word before the cursor may become."""
        before = document.text_before_cursor
        word = "" if not before or before[-1:].isspace() else before.split()[-1]
        for each in offered(self._table, before.lstrip(), self._ports, self._endpoints):
            yield Completion(each, start_position=-len(word))
