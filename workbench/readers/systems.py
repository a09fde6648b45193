"""Systems under test: which agent, model or run a trajectory is of, so that no group has several.

A group is one task under one policy. Files of several agents or runs, read together, name the same
tasks; what tells the systems apart is then put before the names of their groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl

from workbench.readers.base import SYSTEM, Diagnostics

_SHOWN = 4
_NAMES = ("trajectory_id", "node_id", "parent_id", "tree_id")


def system_of(*parts: object) -> str | None:
    """Name of a system from what is known of it, its most telling part last; None for nothing."""
    return "/".join(str(part) for part in parts if isinstance(part, str) and part) or None


def folder_of(path: Path) -> Path:
    """The folder of a file: the run, where a trainer writes a file per step."""
    return path.parent


def folder_above(path: Path) -> Path:
    """The folder above that of a file: the run, where a trainer writes a folder per step."""
    return path.parent.parent


def with_run(frame: pl.DataFrame, run: Callable[[Path], Path] | None, file: str) -> pl.DataFrame:
    """Rows of a file with the run that it is of, before what the reader says of its system.

    Args:
        frame: Step rows.
        run: The folder or file that is one run, from the path of a file.
        file: The file, in the user's words.
    """
    if run is None:
        return frame
    path = Path(file).absolute()
    found = run(path)
    of_run = str(found.with_suffix("") if found == path else found)
    if SYSTEM not in frame.columns:
        return frame.with_columns(pl.lit(of_run).alias(SYSTEM))
    own = pl.col(SYSTEM).cast(pl.String)
    return frame.with_columns(pl.concat_str(pl.lit(of_run), own, separator="/", ignore_nulls=True))


def apart(frame: pl.DataFrame, diagnostics: Diagnostics) -> pl.DataFrame:
    """Rows whose groups are of one system each, without the column that says which.

    Args:
        frame: Step rows under canonical names.
        diagnostics: Gets which systems were told apart.
    """
    if SYSTEM not in frame.columns:
        return frame
    rest = frame.drop(SYSTEM)
    if "group_id" not in frame.columns:
        return rest
    of_group = pl.col(SYSTEM).drop_nulls().n_unique().over("group_id")
    if not frame.select((of_group > 1).any()).item():
        return rest
    labels = _labels(frame[SYSTEM].drop_nulls().unique().sort())
    label = pl.col(SYSTEM).replace_strict(labels, default=None, return_dtype=pl.String)
    names = ["group_id"]
    if "trajectory_id" in frame.columns:
        # Runs number their trajectories alike: an id that two have names none.
        twice = pl.col(SYSTEM).drop_nulls().n_unique().over("trajectory_id") > 1
        given = pl.col("trajectory_id").is_not_null()
        if frame.select((twice & given).any()).item():
            names += [name for name in _NAMES if name in frame.columns]
    found = sorted(labels.values())
    shown = ", ".join(found[:_SHOWN]) + f" and {len(found) - _SHOWN} more" * (len(found) > _SHOWN)
    diagnostics.notice(
        f"the files are of several systems, runs or updates ({shown}), whose groups are kept "
        "apart: the name stands before that of the group"
    )
    return frame.with_columns(
        pl.when(label.is_not_null() & pl.col(name).is_not_null())
        .then(pl.concat_str(label, pl.lit("/"), pl.col(name).cast(pl.String)))
        .otherwise(pl.col(name))
        .alias(name)
        for name in names
    ).drop(SYSTEM)


def _labels(systems: Iterable[str]) -> dict[str, str]:
    """The shortest ends that tell systems apart.

    Example:
        >>> _labels(["runs/a/strong", "runs/a/weak"])
        {'runs/a/strong': 'strong', 'runs/a/weak': 'weak'}
    """
    parts = {system: system.strip("/").split("/") for system in systems}
    longest = max(len(part) for part in parts.values())
    for count in range(1, longest + 1):
        ends = {system: "/".join(part[-count:]) for system, part in parts.items()}
        if len(set(ends.values())) == len(ends):
            return ends
    return {system: system for system in parts}
