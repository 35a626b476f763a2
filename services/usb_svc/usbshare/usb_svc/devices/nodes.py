"""The nodes of a device: files of /dev by which programs use it, as sysfs lists them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MOST_DEPTH = 12
_BLOCK_TYPES = ("disk", "partition")


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its path on the host, and the kernel's number, which is the same in any container.

    `kind` is `c`, or `b` of a block device; `folder` describes it in sysfs.
    """

    path: str
    kind: str
    number: tuple[int, int]
    folder: Path

    @property
    def is_disk(self) -> bool:
        """Whether it is a block device and no partition of another one."""
        return self.kind == "b" and not (self.folder / "partition").exists()


def own_node(folder: Path) -> Node | None:
    """Return the node of a device as a whole, which libusb opens; blocks."""
    return _node(folder)


def interface_nodes(folder: Path, depth: int = 0) -> Iterator[Node]:
    """Yield the nodes of a device's interfaces, not of the device as a whole; blocks."""
    try:
        below = [each for each in folder.iterdir() if each.is_dir() and not each.is_symlink()]
    except OSError:
        return
    for each in below:
        if ":" not in each.name and depth == 0:
            continue  # a hub's ports, and power
        if (node := _node(each)) is not None:
            yield node
        if depth < _MOST_DEPTH:
            yield from interface_nodes(each, depth + 1)


def _node(folder: Path) -> Node | None:
    try:
        lines = (folder / "uevent").read_text(errors="replace").splitlines()
    except OSError:
        return None
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    if "DEVNAME" not in said:
        return None
    kind = "b" if said.get("DEVTYPE") in _BLOCK_TYPES else "c"
    try:
        number = (int(said.get("MAJOR", "")), int(said.get("MINOR", "")))
    except ValueError:
        number = (-1, -1)
    return Node(f"/dev/{said['DEVNAME']}", kind, number, folder)
