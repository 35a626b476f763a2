"""Shows hosts: in place on a terminal, as lines, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TextIO, TypeVar

from usbshare.base.live_table import LiveTable

Host = TypeVar("Host")


@dataclass(frozen=True, slots=True)
class Shown(Generic[Host]):
    """How hosts are shown: `page` for people, `objects` of each for programs."""

    page: Callable[[Sequence[Host]], str]
    objects: Callable[[Host], Iterator[dict[str, Any]]]

    def json_list(self, hosts: Sequence[Host]) -> str:
        """Return a JSON list, an object a port."""
        found = [each for host in hosts for each in self.objects(host)]
        return json.dumps(found, indent=2, ensure_ascii=False)

    def on(
        self, stream: TextIO, tell: Callable[[str], None], *, as_json: bool
    ) -> Callable[[Sequence[Host]], None]:
        """Return what shows hosts again and again."""
        if as_json:
            return lambda hosts: self._tell_json(hosts, tell)
        if not stream.isatty():
            return lambda hosts: tell(self.page(hosts) + "\n")
        table = LiveTable(stream)
        return lambda hosts: table.draw(f"{self.page(hosts)}\n\nCtrl-C ends")

    def _tell_json(self, hosts: Sequence[Host], tell: Callable[[str], None]) -> None:
        for host in hosts:
            for each in self.objects(host):
                tell(json.dumps(each, ensure_ascii=False))
