"""What readers of trainers' files share: ids out of content, keys that are kept, what is unsaid."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from workbench.columns import STEP_LOG, known
from workbench.readers.messages import canonical_json

_ALIASES = frozenset(name for column in STEP_LOG for name in (*column.aliases, *column.negated))
CUT = frozenset({"length", "max_length", "max_tokens"})
"""Reasons for stopping that mean that a limit cut the generation."""


def digest(*values: Any) -> str:
    """Twelve hexadecimal digits that tell values apart: the id of what has none."""
    text = canonical_json(values).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:12]


def kept_fields(record: Mapping[str, Any], used: Collection[str]) -> dict[str, Any]:
    """The scalar values of a record that no column takes, under names that no column has.

    A key that is called like a column of the step log is kept as `record_<key>`.
    """
    return {
        f"record_{key}" if known(key) or key in _ALIASES else key: value
        for key, value in record.items()
        if key not in used and not key.startswith("__") and not isinstance(value, list | dict)
    }


def step_of_name(path: Path, pattern: str) -> int | None:
    """The training step that a trainer writes into the name of its file, where the records lack it.

    Args:
        path: The file.
        pattern: Regular expression over its whole path with one group of digits.
    """
    match = re.search(pattern, path.as_posix())
    return int(match.group(1)) if match else None


def of_step(train_step: int | None, name: str) -> str:
    """A group's id: what trained at one step is never joined with what trained at another."""
    return name if train_step is None else f"step{train_step}/{name}"


def is_cut(reason: str | None) -> bool | None:
    """Whether a limit cut the generation; None where the reason is not known."""
    return None if reason is None else reason in CUT


def whole(value: Any) -> int | None:
    """A JSON whole number, null as None.

    Raises:
        ValueError: It is something else.
    """
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("is not a whole number")
