"""The one port that a person meant by `--match`."""

from __future__ import annotations

from collections.abc import Sequence

from usbshare.base.errors import NotFoundError
from usbshare.bridge.hosts.inventory import Inventory, Item
from usbshare.bridge.hosts.match_filter import Criterion
from usbshare.bridge.tables.ports import as_table

NO_HOST = (
    "no host is known: give --target HOST, list it under [hosts] in usbshare.toml, or check "
    "with `usbshare-bridge discover` whether multicast reaches this computer"
)


def pick(inventory: Inventory, criteria: Sequence[Criterion], *, first: bool) -> Item:
    """Return the only match, or the first; NotFoundError shows what there is instead."""
    found = inventory.matching(criteria)
    wanted = " ".join(map(str, criteria))
    if not found:
        raise NotFoundError(_nothing(inventory, wanted))
    if len(found) > 1 and not first:
        raise NotFoundError(
            f"{len(found)} ports match {wanted}: narrow it down with another --match, or take "
            f"the first one with --first\n{as_table(found)}"
        )
    return found[0]


def _nothing(inventory: Inventory, wanted: str) -> str:
    if items := inventory.items:
        return f"no port matches {wanted}; available:\n{as_table(items)}"
    if inventory.answers or inventory.failures:
        return f"no port matches {wanted}: no known host offers a port now"
    return f"no port matches {wanted}: {NO_HOST}"
