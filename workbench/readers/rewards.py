"""Rewards that lie next to a log: a table by trajectory, for sources that have none."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import LogError, Problem
from workbench.log.columns import REWARDS_HINT, known
from workbench.log.verdicts import verdicts_of
from workbench.readers.base import Diagnostics
from workbench.readers.containers import Cells, records_of
from workbench.readers.copies import plain
from workbench.readers.jsonfiles import Record
from workbench.readers.proposals import may_be_reward
from workbench.readers.rows import Converter, identity, is_number, number, truth
from workbench.readers.sources import expand
from workbench.wording import number_of

_SHOWN = 3
_HELD = (
    "trajectory_id", "step_index", "reward", "reward_source", "success", "group_id",
    "episode_reward",
)  # fmt: skip
"""Columns of a log that rewards are matched with, or that say otherwise behind them."""

_NEEDED = ("trajectory_id", "reward")
_CONVERTERS: Mapping[str, Converter] = {
    "trajectory_id": identity,
    "reward": number,
    "success": truth,
    "group_id": identity,
}
_TYPES: Mapping[str, Any] = {
    "trajectory_id": pl.String,
    "reward": pl.Float64,
    "success": pl.Boolean,
    "group_id": pl.String,
}


def load_rewards(path: str | Path) -> pl.DataFrame:
    """Rewards by trajectory: trajectory_id, reward, success and group_id, null where not given.

    Args:
        path: CSV, JSON lines, a JSON array or Parquet, compressed or not, here or at an address,
            with trajectory_id and reward; success and group_id are optional.

    Raises:
        LogError: The file cannot be read, lacks a column, or names a trajectory twice; every
            problem is listed.
    """
    diagnostics = Diagnostics()
    rows: list[dict[str, Any]] = []
    words: set[str] = set()
    cells = Cells(ids=frozenset((*_names_of("trajectory_id"), *_names_of("group_id"))))
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        for source in plain(expand([path], diagnostics, Path(folder)), diagnostics, Path(folder)):
            found = Diagnostics()
            records = records_of(source.path, found, cells)
            for line, record in records:
                # A file may be a copy, which is gone when its rows are held against each other.
                place = source.in_words_of_user(records.place(line))
                row = _row(record, found, place, words)
                if row is not None:
                    rows.append(row)
            diagnostics.include(found, source.in_words_of_user)
    _settle_words(rows, words, diagnostics, str(path))
    _refuse_repeats(rows, diagnostics)
    if not rows and not diagnostics.problems:
        diagnostics.problem("rewards", "the file holds no record", str(path))
    if diagnostics.problems:
        raise LogError(f"the rewards {path}", diagnostics.problems)
    columns = {name: [row[name] for row in rows] for name in _TYPES}
    return pl.DataFrame(columns, schema=_TYPES)


def _row(
    record: Record, diagnostics: Diagnostics, place: str, words: set[str]
) -> dict[str, Any] | None:
    row: dict[str, Any] = {"place": place}
    for name, convert in _CONVERTERS.items():
        key = next((key for key in _names_of(name) if key in record), None)
        if key is None and name in _NEEDED:
            rule = f"is missing; found {list(record)}"
            diagnostics.problem(name, rule, place, "a row has trajectory_id and reward")
            return None
        value = None if key is None else record[key]
        if name == "success" and isinstance(value, str) and not is_number(value):
            words.add(value)
            row[name] = value
            continue
        try:
            row[name] = convert(value)
        except ValueError as error:
            diagnostics.problem(name, str(error), place)
            return None
    if not row["trajectory_id"]:
        diagnostics.problem("trajectory_id", "is empty", place)
        return None
    return row


def _names_of(name: str) -> tuple[str, ...]:
    column = known(name)
    return (name, *(column.aliases if column else ()))


def _settle_words(
    rows: Sequence[dict[str, Any]], words: set[str], diagnostics: Diagnostics, path: str
) -> None:
    """Give words of success their meaning, where all are of one set."""
    verdicts = verdicts_of(words)
    if words and verdicts is None:
        rule = f"holds words of no one set: {sorted(words)[:_SHOWN]}"
        diagnostics.problem("success", rule, path, "true or false, or leave the column away")
    for row in rows:
        if isinstance(row["success"], str):
            worth = (verdicts or {}).get(row["success"].strip().lower())
            row["success"] = None if worth is None else worth == 1.0


def _refuse_repeats(rows: Sequence[dict[str, Any]], diagnostics: Diagnostics) -> None:
    first: dict[str, str] = {}
    for row in rows:
        name = row["trajectory_id"]
        if name in first:
            rule = f"names {name!r} again, which {first[name]} names"
            diagnostics.problem("trajectory_id", rule, row["place"])
        first.setdefault(name, row["place"])


def with_rewards(
    frame: pl.DataFrame, rewards: pl.DataFrame | None, diagnostics: Diagnostics
) -> pl.DataFrame:
    """The steps with the rewards of a table: on the last step of a trajectory, 0 before.

    A log without any reward gets the column, null throughout. Rewards of the log are replaced
    where the table names their trajectory. What does not match is counted and named. A log whose
    columns hold lists or bytes where a step has one value stays as it is, to be refused.

    Args:
        frame: Step rows under canonical names, of a whole log.
        rewards: As `load_rewards` gives them; None for none.
        diagnostics: Gets what was done and what does not match.

    Raises:
        LogError: The table names no trajectory of the log.
    """
    if not {"trajectory_id", "step_index"} <= set(frame.columns):
        return frame
    if any(_is_compound(frame.schema[name]) for name in _HELD if name in frame.columns):
        return frame
    if "reward" not in frame.columns:
        frame = frame.with_columns(pl.lit(None, dtype=pl.Float64).alias("reward"))
        if rewards is None:
            diagnostics.notice(_no_column(frame.columns))
    if rewards is None:
        return frame
    named = frame["trajectory_id"].cast(pl.String).unique(maintain_order=True)
    matched = rewards.filter(pl.col("trajectory_id").is_in(named.implode()))
    unknown = rewards.filter(~pl.col("trajectory_id").is_in(named.implode()))["trajectory_id"]
    without = named.filter(~named.is_in(rewards["trajectory_id"].implode()))
    if matched.is_empty():
        problem = Problem(
            column="trajectory_id",
            rule=f"none is in the log: {_shown(unknown)}; the log has {_shown(named)}",
            hint="trajectories are named as in the log that an import without --rewards writes",
        )
        raise LogError("the rewards", [problem])
    nulls = matched.filter(pl.col("reward").is_null())["trajectory_id"]
    for ids, text in (
        (nulls, "trajectories whose reward is empty in the rewards, and so not known"),
        (unknown, "trajectories of the rewards that are not in the log"),
        (
            without,
            "trajectories of the log that the rewards do not name, which keep their own reward",
        ),
    ):
        if ids.len():
            diagnostics.notice(f"{text}: {ids.len():,} ({_shown(ids)})")
    return _joined(frame, matched, diagnostics)


def _no_column(names: Sequence[str]) -> str:
    likely = [name for name in names if may_be_reward(name)]
    way = f"--map names one of {likely} as reward, or {REWARDS_HINT}" if likely else REWARDS_HINT
    return f"the log has no column of rewards, which are null: {way}"


def _joined(frame: pl.DataFrame, matched: pl.DataFrame, diagnostics: Diagnostics) -> pl.DataFrame:
    given = matched.rename({name: f"__{name}" for name in matched.columns})
    given = given.with_columns(pl.lit(value=True).alias("__given"))
    key = pl.col("trajectory_id").cast(pl.String).alias("__trajectory_id")
    rows = frame.with_columns(key).join(
        given, on="__trajectory_id", how="left", maintain_order="left"
    )
    is_given = pl.col("__given").is_not_null()
    had = rows.filter(is_given & pl.col("reward").is_not_null())["__trajectory_id"].n_unique()
    if had:
        diagnostics.notice(
            f"rewards of {number_of(had, 'trajectory')} replaced by those that were given"
        )
    number = pl.col("step_index").cast(pl.Int64, strict=False)
    is_last = number == number.max().over("__trajectory_id")
    reward = pl.col("__reward")
    source = pl.when(reward.is_not_null()).then(pl.lit("terminal"))
    outcome = pl.when(is_last | reward.is_null()).then(reward).otherwise(0.0)
    as_logged = frame.schema["reward"]
    dtype = pl.String if as_logged == pl.String else pl.Float64
    changes = [
        pl.when(is_given)
        .then(outcome.cast(dtype))
        .otherwise(pl.col("reward").cast(dtype))
        .alias("reward"),
        _replaced(frame, "reward_source", is_given, source),
        _replaced(frame, "success", pl.col("__success").is_not_null(), pl.col("__success")),
        _replaced(frame, "group_id", pl.col("__group_id").is_not_null(), pl.col("__group_id")),
    ]
    if "episode_reward" in frame.columns:
        changes.append(pl.when(~is_given).then(pl.col("episode_reward")).alias("episode_reward"))
    names = ["__trajectory_id", *(name for name in given.columns if name != "__trajectory_id")]
    return rows.with_columns(changes).drop(names)


def _replaced(frame: pl.DataFrame, name: str, where: pl.Expr, value: pl.Expr) -> pl.Expr:
    """A column with other values where a condition holds; null elsewhere if there is none."""
    before = frame.schema.get(name, pl.Null)
    if before == pl.Null:
        return pl.when(where).then(value).alias(name)
    # Numbers may hold truth values; an id need be no number.
    dtype = before if name == "success" and before.is_numeric() else _TYPES.get(name, pl.String)
    own = pl.col(name)
    if before != dtype:
        dtype, own = pl.String, own.cast(pl.String)
    return pl.when(where).then(value.cast(dtype)).otherwise(own).alias(name)


def _is_compound(dtype: pl.DataType) -> bool:
    return dtype.is_nested() or dtype in {pl.Binary, pl.Object}


def _shown(names: pl.Series) -> str:
    shown = ", ".join(repr(name) for name in names.head(_SHOWN))
    return shown + f" and {names.len() - _SHOWN} more" * (names.len() > _SHOWN)
