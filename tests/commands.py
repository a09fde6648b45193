"""Small logs for tests of the command line, and what a refusal looks like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

Result = tuple[int, str, str]
Run = Callable[..., Result]


def small(path: Path, **columns: Any) -> Path:
    """Two groups of two trajectories of one or two steps."""
    rows = [
        ("g", "a", 0, "red door", "open", 0.0),
        ("g", "a", 1, "blue room", "take", 1.0),
        ("g", "b", 0, "red door", "wait", 0.0),
        ("h", "c", 0, "red door", "open", 1.0),
        ("h", "d", 0, "a wall", "wait", 0.0),
    ]
    names = ["group_id", "trajectory_id", "step_index", "observation", "action", "reward"]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    frame.with_columns(**columns).write_parquet(path)
    return path


def refused(result: Result, *words: str) -> None:
    """Exit code 2, one message on standard error with these words, no traceback."""
    code, out, err = result
    assert code == 2, (code, out, err)
    assert err.count("error: ") == 1, err
    assert any(line.startswith("error: ") for line in err.splitlines())
    assert "Traceback" not in err
    for word in words:
        assert word in err
