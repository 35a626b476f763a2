"""Every line that a user can be shown: `python -m tools.texts [FOLDER...]`.

Messages are built in many places, so every string that reads like words counts.
A placeholder is shown as {}.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("services", "bridge")
_WORDS = re.compile(r"[A-Za-z]{2,}[,;:]? [\w{'`(]")
_LOGGED = {"info", "warning", "error", "exception", "critical"}
_TOLD = {"echo", "secho", "tell", "_tell", "say", "print", "warn"}
_NOT_SHOWN = {"debug", "compile", "cast", "TypeVar"}
_COMMENT = re.compile(r"^\s*#+ ?(?=.*[A-Za-z]{2,} \w)")


class Kind(StrEnum):
    """Where a user meets a text."""

    ERROR = "error"
    LOG = "log"
    TOLD = "told"
    HELP = "help"
    SETTING = "setting"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Text:
    """One text and its position."""

    path: Path
    line: int
    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def texts_of(path: Path, source: str) -> list[Text]:
    """Return what the file can show to a user, from top to bottom."""
    if path.suffix == ".py":
        finder = _Finder(path)
        finder.visit(ast.parse(source))
        return sorted(finder.found, key=lambda text: text.line)
    return list(_comments(path, source))


def _comments(path: Path, source: str) -> Iterator[Text]:
    tomllib.loads(source)
    for number, line in enumerate(source.splitlines(), 1):
        if _COMMENT.match(line):
            yield Text(path, number, Kind.SETTING, _COMMENT.sub("", line))


class _Finder(ast.NodeVisitor):
    """Walks a module and keeps what reads like words, with the kind of what is around it."""

    def __init__(self, path: Path) -> None:
        self.found: list[Text] = []
        self._path = path
        self._kind = Kind.TEXT

    def visit_Module(self, node: ast.Module) -> None:
        self._body(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._body(
            node, Kind.SETTING if any(_name(base) == "Table" for base in node.bases) else None
        )

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        names = {_name(decorator) for decorator in node.decorator_list}
        self._body(node, Kind.HELP if names & {"command", "group"} else None)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._inside(Kind.ERROR, node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node)
        if name in _NOT_SHOWN:
            return
        if name in _LOGGED and "log" in ast.unparse(node.func).lower():
            self._inside(Kind.LOG, node)
        elif name in _TOLD:
            self._inside(Kind.TOLD, node)
        elif name.endswith("Error"):
            self._inside(Kind.ERROR, node)
        else:
            self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        helps = node.arg in {"help", "short_help", "epilog", "description"}
        self._inside(Kind.HELP if helps else self._kind, node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        text = _text(node)
        if text is None:
            self.generic_visit(node)
        else:
            self._keep(node.lineno, text)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._keep(node.lineno, _text(node) or "")
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._keep(node.lineno, node.value)

    def _body(
        self,
        node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
        docstring: Kind | None = None,
    ) -> None:
        outer, self._kind = self._kind, Kind.TEXT
        documented = ast.get_docstring(node) is not None
        if documented and docstring is not None:
            self._kind = docstring
            self.visit(node.body[0])
            self._kind = Kind.TEXT
        for each in node.body[documented:]:
            self.visit(each)
        self._kind = outer

    def _inside(self, kind: Kind, node: ast.AST) -> None:
        outer, self._kind = self._kind, kind
        self.generic_visit(node)
        self._kind = outer

    def _keep(self, line: int, text: str) -> None:
        if _WORDS.search(text):
            self.found.append(Text(self._path, line, self._kind, " ".join(text.split())))


def _name(node: ast.expr) -> str:
    """Return the last name of what is called or named: `command` of `@click.command(...)`."""
    if isinstance(node, ast.Call):
        return _name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.expr) -> str | None:
    """Return the text of a string, an f-string or strings that are added; else None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "{}" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        if left is not None or right is not None:
            return f"{left or '{}'}{right or '{}'}"
    return None


def collect(folders: list[Path]) -> list[Text]:
    """Return what the files of these folders can show, file by file."""
    paths = sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".toml"}
    )
    return [
        text
        for path in paths
        for text in texts_of(path.relative_to(ROOT), path.read_text(encoding="utf-8"))
    ]


def main() -> None:
    """Print every text as `file:line: text`."""
    parser = argparse.ArgumentParser(description="Print every text that a user can be shown.")
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    parser.add_argument("--kind", choices=[kind.value for kind in Kind])
    arguments = parser.parse_args()
    for text in collect([ROOT / folder for folder in arguments.folders]):
        if arguments.kind in (None, text.kind):
            sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
