"""Parts of documents that tests run: blocks, by language or by mark, and their commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from places import ROOT

DOCS = ROOT / "docs"
README = ROOT / "README.md"


def blocks(document: Path, language: str) -> list[str]:
    """The code blocks of a language, in their order."""
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def part(document: Path, name: str) -> str:
    """Text between `<!-- name -->` and `<!-- /name -->`."""
    text = document.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", text, re.DOTALL)
    assert found, name
    return found.group(1)


def marked(document: Path, name: str) -> str:
    """The code block below `<!-- name -->`."""
    text = document.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found, name
    return found.group(1)


def commands(document: Path) -> list[list[str]]:
    """Every `workbench …` of the bash blocks, without the set-up before it."""
    lines = [line for block in blocks(document, "bash") for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [shlex.split(part) for part in parts if part.startswith("workbench ")]
