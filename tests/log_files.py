"""Log files as tests write them: lines, documents and tables, and the log that is read from one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from workbench.errors import LogError
from workbench.readers import import_log


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def record(**fields: Any) -> dict[str, Any]:
    """A chat record of one step."""
    return {"messages": [user("go"), assistant("ok")], "task_id": "a", "reward": 1.0} | fields


def step(**fields: Any) -> dict[str, Any]:
    """A step under the names of the step log."""
    return {
        "group_id": "g",
        "trajectory_id": "t",
        "step_index": 0,
        "observation": "o",
        "action": "a",
        "reward": 1.0,
    } | fields


def act(command: str) -> str:
    """The action of a call of the tool `act`."""
    return f'{{"arguments": {{"command": "{command}"}}, "name": "act"}}'


def write_lines(path: Path, records: Sequence[Any]) -> Path:
    """Writes records one per line; text stands as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [item if isinstance(item, str) else json.dumps(item) for item in records]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def written(folder: Path, records: Sequence[Any], name: str = "log.jsonl") -> Path:
    """A file of records, one per line, in a folder."""
    return write_lines(folder / name, records)


def write_json(path: Path, value: Any) -> Path:
    """Writes one JSON value as a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_steps(path: Path, columns: Mapping[str, Any] | None = None) -> Path:
    """Writes a step log of three rows as Parquet, with other or further columns."""
    base = {
        "group_id": ["g", "g", "g"],
        "trajectory_id": ["a", "a", "b"],
        "step_index": [0, 1, 0],
        "observation": ["o", "p", "o"],
        "action": ["x", "y", "z"],
        "reward": [0.0, 1.0, 0.0],
    }
    frame = pl.DataFrame({**base, **(columns or {})}, strict=False)
    frame.write_parquet(path)
    return path


def log_of(*paths: Path, **options: Any) -> pl.DataFrame:
    return import_log(paths, **options).validated.log


def problems_of(path: Path) -> str:
    """The words with which a file is refused."""
    with pytest.raises(LogError) as caught:
        import_log([path])
    return str(caught.value)


def read_in_tiny_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every trajectory is a part of its own, and rows are sorted a few at a time."""
    monkeypatch.setattr("workbench.readers.rows._PART", 1)
    monkeypatch.setattr("workbench.readers.formats.steps._PART", 1)
    monkeypatch.setattr("workbench.readers.tables._FIRST", 1)
    monkeypatch.setattr("workbench.readers.tables._PART", 1)
    monkeypatch.setattr("workbench.readers.out_of_core._RUN", 2**9)
