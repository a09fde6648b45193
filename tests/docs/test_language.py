"""Plain English in what the package says of itself: docstrings, help texts and messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

PACKAGE = ROOT / "workbench"

HEADLINE = re.compile(r"(What|How|Whether|Which|Why|Where|Who|Whose|When)\b")
"""A docstring names a thing or says what to do; it does not begin like a question."""

UNIT = r"(step|row|trajectory|rollout|group|token|line|record|batch|episode|update|turn)"
DIALECT = {  # `beside` itself is a field of an address
    rf"\b(one|once|row|line|column|number|value|rollouts|steps|tokens) an? {UNIT}\b": "per",
    r"\banew\b": "again, or a verb with re-",
    r"\bbeside\b(?!:|$)": "next to, or besides",
}
"""Phrases that belong to no field, and what to write for them."""


def texts(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Texts of a module by line, and whether each documents something."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, DOCUMENTED)]
    documenting = {id(line.value) for body in bodies for line in body if isinstance(line, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value, id(node) in documenting


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.fixture(scope="module")
def package() -> list[tuple[str, str, bool]]:
    """Place, text and whether it documents something, of all texts of the package."""
    return [
        (f"{path.relative_to(ROOT)}:{line}", text, documents)
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text, documents in texts(path)
    ]


def test_no_docstring_begins_like_a_question(package: list[tuple[str, str, bool]]):
    asking = [place for place, text, documents in package if documents and HEADLINE.match(text)]
    assert not asking


@pytest.mark.parametrize("phrase", DIALECT)
def test_no_text_speaks_a_dialect(package: list[tuple[str, str, bool]], phrase: str):
    spoken = re.compile(phrase)
    found = [
        f"{place}: {text[:80]!r}; write {DIALECT[phrase]!r}"
        for place, text, _ in package
        if spoken.search(text)
    ]
    assert not found


def test_a_question_and_a_dialect_are_found(tmp_path: Path):
    module = tmp_path / "module.py"
    module.write_text('"""What it is."""\n\nNAME = 1\n"""One row a step."""\n')
    (_, first, documents), (line, second, _) = texts(module)
    assert HEADLINE.match(first)
    assert documents
    assert line == 4
    assert [phrase for phrase in DIALECT if re.search(phrase, second.lower())] == [*DIALECT][:1]
