"""Numbers held against a file that was looked at and committed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def unchanged(path: Path, found: dict[str, Any], key: str | None = None) -> None:
    """Asserts that numbers and words are those of a file; UPDATE_VALUES=1 writes it anew.

    Args:
        path: JSON, one line for each inner value.
        found: What is compared, floats to four digits.
        key: Where in the file it is; the whole file where none is named.
    """
    given = rounded(json.loads(json.dumps(found)))
    if os.environ.get("UPDATE_VALUES"):
        known = json.loads(path.read_text(encoding="utf-8")) if key and path.exists() else {}
        whole = {**known, key: given} if key else given
        path.write_text(_laid_out(whole), encoding="utf-8")
    expected = json.loads(path.read_text(encoding="utf-8"))
    ours, theirs = dict(_flat(given)), dict(_flat(expected[key] if key else expected))
    assert ours.keys() == theirs.keys()
    wrong = {place: ours[place] for place in ours if not _near(ours[place], theirs[place])}
    assert not wrong, {place: theirs[place] for place in wrong}


def rounded(value: Any) -> Any:
    """Floats with four digits, which no library's order of summing changes."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.4g}") + 0.0 if isinstance(value, float) else value


def _laid_out(whole: dict[str, Any]) -> str:
    """One line for each value of the second level."""
    parts = []
    for name, inner in whole.items():
        lines = inner if isinstance(inner, dict) else {}
        body = ",\n".join(
            f"  {json.dumps(part, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
            for part, value in lines.items()
        )
        parts.append(f" {json.dumps(name, ensure_ascii=False)}: {{\n{body}\n }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _near(one: Any, other: Any) -> bool:
    """Equal, or numbers that differ in the fourth digit at most."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=2e-3, abs=1e-7, nan_ok=True)
    return bool(one == other)


def _flat(value: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers and words by their place."""
    if not isinstance(value, dict | list):
        yield before, value
        return
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _flat(inner, f"{before}/{name}")
