"""Column mappings: which name of a file stands for which column of the step log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import ParameterError, UnknownNameError
from workbench.files import atomic_file
from workbench.log.columns import STEP_LOG, known

_SHAPE = '{"columns": {"<column of the step log>": "<name in the file>"}}'


def load_mapping(path: str | Path) -> dict[str, dict[str, str]]:
    """A mapping as `save_mapping` writes it.

    Raises:
        ParameterError: The file cannot be read or is no mapping; the message names it.
    """
    try:
        mapping = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ParameterError(f"the mapping {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"the mapping {path} is not JSON: {error}") from error
    try:
        return {"columns": mapped_columns(mapping)}
    except (ParameterError, UnknownNameError) as error:
        raise ParameterError(f"the mapping {path}: {error}") from error


def save_mapping(path: str | Path, mapping: Mapping[str, Any]) -> None:
    """Write a mapping to a file.

    Raises:
        ParameterError: It is no mapping.
        UnknownNameError: It names a column that the step log does not have.
    """
    text = json.dumps({"columns": mapped_columns(mapping)}, indent=2, ensure_ascii=False)
    with atomic_file(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def mapped_columns(mapping: Mapping[str, Any] | None) -> dict[str, str]:
    """Canonical name -> name in the file.

    Raises:
        ParameterError: It is no mapping, or maps one name of the file to two columns.
        UnknownNameError: It names a column that the step log does not have.
    """
    if mapping is None:
        return {}
    if not isinstance(mapping, Mapping) or not set(mapping) <= {"columns"}:
        raise ParameterError(f"expected {_SHAPE}, got {_excerpt(mapping)}")
    columns = mapping.get("columns", {})
    if not isinstance(columns, Mapping):
        raise ParameterError(f"'columns' must be an object as in {_SHAPE}, got {_excerpt(columns)}")
    for name, old in columns.items():
        if known(name) is None:
            raise UnknownNameError("column", name, [column.name for column in STEP_LOG])
        if not isinstance(old, str) or not old:
            raise ParameterError(f"column {name!r} must be mapped to a name, got {old!r}")
    names = list(columns.values())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ParameterError(f"the mapping gives {twice} to more than one column")
    return dict(columns)


def refuse_mapping(columns: Mapping[str, str], subject: str, *, but: str = "") -> None:
    """Refuse a mapping where a format has names of its own.

    Args:
        columns: Canonical name -> name in the file.
        subject: The files of the format, in words.
        but: The one column that may be mapped.

    Raises:
        ParameterError: Something (else) is mapped.
    """
    useless = sorted(set(columns) - {but})
    if useless:
        raise ParameterError(f"{subject} have fixed names; the mapping of {useless} has no use")


def _excerpt(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
