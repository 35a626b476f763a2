"""The one port that a person meant by `--match`."""

from __future__ import annotations

from collections.abc import Sequence

from usbshare.base.errors import NotFoundError
from usbshare.bridge.hosts.inventory import Inventory, Item
from usbshare.bridge.hosts.match_filter import Criterion
from usbshare.bridge.tables.ports import as_table

NO_HOST = (
    "no host is known: give --target HOST, name it under [hosts] in usbshare.toml, or see with "
    "`usbshare-bridge discover` whether multicast reaches this computer"
)


def pick(inventory: Inventory, criteria: Sequence[Criterion], *, first: bool) -> Item:
    """Return the only match, or the first; NotFoundError shows what there is instead."""
    found = inventory.matching(criteria)
    wanted = " ".join(map(str, criteria))
    if not found:
        raise NotFoundError(_nothing(inventory, wanted))
    if len(found) > 1 and not first:
        raise NotFoundError(
            f"{len(found)} ports match {wanted}: say more with another --match, or take the first "
            f"one with --first\n{as_table(found)}"
        )
    return found[0]


def _nothing(inventory: Inventory, wanted: str) -> str:
    if items := inventory.items:
        return f"no port matches {wanted}; these are there\n{as_table(items)}"
    if inventory.answers or inventory.failures:
        return f"no port matches {wanted}: no host that is known has one to offer now"
    return f"no port matches {wanted}: {NO_HOST}"
