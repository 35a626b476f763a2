"""Who owns whom: nobody writes another's fields, and no import leads back to where it began."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
# What is not here has records that another module fills: the simulators' blocks, views of pages.
OWNERS = [
    ROOT / "services/serial_svc/usbshare/serial_svc",
    ROOT / "services/job_svc/usbshare/job_svc",
    ROOT / "services/usb_svc/usbshare/usb_svc",
    ROOT / "services/common/usbshare/usbip",
    ROOT / "services/common/usbshare/client",
]


def written_by(source: str) -> list[str]:
    """Return the statements that write an attribute of another object.

    A module may fill its own private records; protobuf's messages are filled in `convert`.
    """
    tree = ast.parse(source)
    records = _private_fields(tree)
    return [
        f"line {statement.lineno}: {ast.unparse(statement)}"
        for statement in ast.walk(tree)
        if isinstance(statement, ast.stmt)
        for target in _targets(statement)
        if not (isinstance(target.value, ast.Name) and target.value.id == "self")
        and target.attr not in records
    ]


def _targets(statement: ast.AST) -> Iterator[ast.Attribute]:
    """Yield the attributes that a statement writes or deletes."""
    if isinstance(statement, ast.Assign | ast.Delete):
        written: list[ast.expr] = list(statement.targets)
    elif isinstance(statement, ast.AugAssign | ast.AnnAssign | ast.For | ast.AsyncFor):
        written = [statement.target]
    elif isinstance(statement, ast.With | ast.AsyncWith):
        written = [each.optional_vars for each in statement.items if each.optional_vars]
    else:
        return
    for expression in written:
        nested = [expression]
        while nested:
            part = nested.pop()
            if isinstance(part, ast.Tuple | ast.List):
                nested += part.elts
            elif isinstance(part, ast.Starred):
                nested.append(part.value)
            elif isinstance(part, ast.Attribute):
                yield part


def _private_fields(tree: ast.Module) -> set[str]:
    """Return the fields of the module's private classes."""
    private = [
        kind for kind in tree.body if isinstance(kind, ast.ClassDef) and kind.name.startswith("_")
    ]
    return {
        name
        for kind in private
        for part in ast.walk(kind)
        for name in (
            [part.target.id]
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
            else [each.attr for each in _targets(part)]
        )
    }


@pytest.mark.parametrize("folder", OWNERS, ids=lambda folder: folder.name)
def test_no_object_writes_anothers_fields(folder: Path) -> None:
    found = {
        str(path.relative_to(folder)): written
        for path in sorted(folder.rglob("*.py"))
        if not path.name.startswith("convert")
        and (written := written_by(path.read_text(encoding="utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    ("source", "writes"),
    [
        ("port.epoch = 2", True),
        ("self._port.counters.stops += 1", True),
        ("a, port.epoch = 1, 2", True),
        ("self.first = port.second = 3", True),
        ("for port.epoch in range(3): pass", True),
        ("del port.epoch", True),
        ("self.epoch = 2", False),
        ("self._told[port.epoch] = 2", False),
        ("class _Begun:\n    fenced: int = 0\nbegun.fenced += 1", False),
        ("class Begun:\n    fenced: int = 0\nbegun.fenced += 1", True),
    ],
)
def test_the_check_recognises_writes_to_another_objects_field(source: str, writes: bool) -> None:
    assert bool(written_by(source)) is writes


def test_no_import_leads_back_to_where_it_began() -> None:
    # Imports for types alone count too: who names the type of its owner knows its owner.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["importlinter"]["root_packages"]
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=False, cache_dir=None)
    imports = {each: graph.find_modules_directly_imported_by(each) for each in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))
