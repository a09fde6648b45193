"""Digests of code: a result is measured again when what made it is written differently."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import workbench
from workbench.files import digest, file_digest

ROOT = Path(workbench.__file__).parent


def code_digest(files: Iterable[Path]) -> str:
    """Digest of modules of the package and of all that they import from it, however far off."""
    found, left = set[Path](), list(files)
    while left:
        file = left.pop()
        if file not in found:
            found.add(file)
            left += imported(file)
    return digest(sorted(map(file_digest, found)))


@cache
def imported(file: Path) -> tuple[Path, ...]:
    """The modules of the package that one of them imports, wherever in its text."""
    names = _names(ast.parse(file.read_text(encoding="utf-8")))
    paths = [ROOT.joinpath(*name.split(".")[1:]) for name in names]
    modules = [path.with_suffix(".py") for path in paths] + [path / "__init__.py" for path in paths]
    return tuple(sorted({module for module in modules if module.is_file()}))


def _names(tree: ast.Module) -> Iterator[str]:
    """Imported names of the package; one that is no module is a name of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("workbench."))
        elif (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").partition(".")[0] == "workbench"
        ):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
