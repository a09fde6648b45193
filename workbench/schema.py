"""The rules of the step log: one table, one row a step.

The columns are in `columns.STEP_LOG`. A log that breaks a rule is refused with every problem at
once, or its broken trajectories are set aside where the user asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from workbench.columns import STEP_LOG, Column, known
from workbench.errors import LogError, ParameterError, Problem

__all__ = ["STEP_LOG", "Column", "Validated", "rename", "validate"]

ROW = "__row"


@dataclass(frozen=True, kw_only=True)
class Validated:
    """What `validate` made of a frame.

    Args:
        log: The step log: `STEP_LOG`'s columns first, in its order, others kept behind them;
            sorted by (group_id, trajectory_id, step_index).
        quarantined: Rows of the trajectories that were set aside, values as they were given, with
            a column `problem`.
        problems: The problems of those rows.
        notices: What was done or seen that is no error, one sentence each.
        renamed: Canonical name -> the name it had.
    """

    log: pl.DataFrame
    quarantined: pl.DataFrame
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


def rename(frame: pl.DataFrame, columns: Mapping[str, str]) -> tuple[pl.DataFrame, dict[str, str]]:
    """Gives columns their canonical names: first as told, then by the aliases of `STEP_LOG`.

    Args:
        frame: Any frame.
        columns: Canonical name -> name in the frame.

    Returns:
        The frame, and canonical name -> old name for all that were renamed. A canonical column
        that is in the frame already is never overwritten by an alias.

    Raises:
        ParameterError: The mapping names a column that the frame does not have.
    """
    missing = {old for old in columns.values() if old not in frame.columns}
    if missing:
        raise ParameterError(
            f"the column mapping names {sorted(missing)}, which the file does not have; "
            f"found {frame.columns}"
        )
    kept = columns.values()
    displaced = [new for new in columns if new in frame.columns and new not in kept]
    frame = frame.drop(displaced)
    frame = frame.rename({old: new for new, old in columns.items()})
    renamed = {new: old for new, old in columns.items() if new != old}
    for column in STEP_LOG:
        if column.name in frame.columns:
            continue
        for alias in (*column.aliases, *column.negated):
            if alias in frame.columns:
                frame = frame.rename({alias: column.name})
                if alias in column.negated:
                    frame = frame.with_columns(_opposite(frame[column.name]).alias(column.name))
                renamed[column.name] = alias
                break
    return frame, renamed


def validate(frame: pl.DataFrame, *, quarantine: bool = False) -> Validated:
    """Checks a frame against the step log and brings it into canonical form.

    Types are cast where nothing is lost, defaults filled in, identical rows of one step collapsed
    into `copies`, rows sorted. A trajectory with a null or non-finite reward keeps its rows and
    gets its reason in `excluded`; it enters no statistic and no batch.

    Args:
        frame: One row a step, columns under canonical names or their aliases.
        quarantine: Set trajectories that break a rule aside instead of refusing the log.

    Raises:
        LogError: A rule is broken (every problem is listed), or nothing is left.
    """
    subject = f"a step log of {frame.height} rows"
    frame, renamed = rename(frame, {})
    if frame.is_empty():
        hint = "the file has a header but no data" if frame.columns else ""
        raise LogError(subject, [Problem(column="rows", rule="there are none", hint=hint)])
    if "source_row" not in frame.columns:
        frame = frame.with_row_index("source_row")
    frame = frame.with_row_index(ROW)

    check = _Check(frame)
    check.columns_present()
    check.types()
    if check.fatal:
        check.rows_rules()
        raise LogError(subject, check.problems)
    check.fill_defaults()
    check.rows_rules()
    if check.problems and not quarantine:
        raise LogError(subject, check.problems)
    good, bad = check.split()
    if good.is_empty():
        raise LogError(subject, check.problems)
    log, notices = _collapse(good)
    log, more = _exclude(log)
    log = _arrange(log)
    return Validated(
        log=log,
        quarantined=frame.drop("problem", strict=False)
        .join(bad, on=ROW, maintain_order="left")
        .drop(ROW),
        problems=tuple(check.problems),
        notices=(*notices, *more, *_episode_reward_notice(log)),
        renamed=renamed,
    )


class _Check:
    """Collects problems of one frame, each with the rows that have it."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self.problems: list[Problem] = []
        self.fatal = False
        self._bad: list[pl.DataFrame] = []

    def columns_present(self) -> None:
        missing = [c.name for c in STEP_LOG if c.required and c.name not in self.frame.columns]
        if missing:
            self.fatal = True
            found = [name for name in self.frame.columns if name not in (ROW, "source_row")]
            hint = 'name them with --map: a JSON file with {"columns": {"reward": "score", …}}'
            rule = f"missing columns {missing}; found {found}"
            self.problems.append(Problem(column="columns", rule=rule, hint=hint))

    def types(self) -> None:
        for name in self.frame.columns:
            column = known(name)
            if column is None or self.frame.schema[name] == column.dtype:
                continue
            self._cast(name, column)

    def _cast(self, name: str, column: Column) -> None:
        before = self.frame[name]
        try:
            after, lost = _cast(before, column.dtype)
        except (pl.exceptions.InvalidOperationError, pl.exceptions.ComputeError):
            self.fatal = True
            rule = f"is {before.dtype}, expected {column.dtype}"
            self.problems.append(Problem(column=name, rule=rule, count=before.len()))
            self.frame = self.frame.drop(name)
            return
        self._add(self.frame.filter(lost), name, f"is not a valid {column.dtype}")
        self.frame = self.frame.with_columns(after.alias(name))

    def fill_defaults(self) -> None:
        for column in STEP_LOG:
            if column.default is None:
                continue
            value = pl.lit(column.default, dtype=column.dtype)
            filled = (
                pl.col(column.name).fill_null(value)
                if column.name in self.frame.columns
                else value.alias(column.name)
            )
            self.frame = self.frame.with_columns(filled)

    def rows_rules(self) -> None:
        has = set(self.frame.columns)
        for column in STEP_LOG:
            if column.required and column.name != "reward" and column.name in has:
                self._where(column.name, pl.col(column.name).is_null(), "is null")
        for name in ("group_id", "trajectory_id"):
            if name in has:
                self._where(name, pl.col(name) == "", "is empty")
        if "copies" in has:
            self._where("copies", pl.col("copies") < 1, "must be at least 1")
        if "reward_scale" in has:
            bad = (pl.col("reward_scale") <= 0) | ~pl.col("reward_scale").is_finite()
            self._where("reward_scale", bad, "must be positive and finite")
        self._token_lengths(has)
        if {"group_id", "trajectory_id", "step_index"} <= has:
            self._trajectory_rules(has)

    def _token_lengths(self, has: set[str]) -> None:
        for name in ("response_mask", "response_logprobs", "logged_token_advantage"):
            if {name, "response_ids"} <= has:
                bad = pl.col(name).list.len() != pl.col("response_ids").list.len()
                self._where(name, bad, "has another length than response_ids")

    def _trajectory_rules(self, has: set[str]) -> None:
        one = pl.col("trajectory_id")
        named = one.is_not_null()
        two_groups = named & (pl.col("group_id").drop_nulls().n_unique().over(one) > 1)
        self._where(
            "trajectory_id",
            two_groups,
            "is in more than one group",
            "trajectory ids must be unique in a log; prefix them with the group",
        )
        step = pl.col("step_index")
        self._where(
            "step_index",
            named & (step.min().over(one) != 0),
            "does not begin with 0",
            "step_index is 0-based",
        )
        count = step.drop_nulls().n_unique().over(one)
        gap = step.max().over(one) - step.min().over(one) + 1 != count
        self._where(
            "step_index", named & gap, "has gaps", "steps of a trajectory must be contiguous"
        )
        for column in STEP_LOG:
            if column.per_trajectory and column.name in has:
                differs = pl.col(column.name).drop_nulls().n_unique().over(one) > 1
                self._where(column.name, named & differs, "differs within a trajectory")
        self._conflicts()

    def _conflicts(self) -> None:
        step = ["trajectory_id", "step_index"]
        repeated = self.frame.filter(pl.struct(step).is_duplicated())
        content = _content_columns(repeated)
        distinct = repeated.unique(subset=content, maintain_order=True)
        conflicting = distinct.filter(pl.struct(step).is_duplicated()).select(step).unique()
        self._add(
            repeated.join(conflicting, on=step, how="semi").sort(ROW),
            "step_index",
            "appears twice in a trajectory with different content",
            "identical rows are collapsed; different ones need their own trajectory_id",
        )

    def _where(self, column: str, bad: pl.Expr, rule: str, hint: str = "") -> None:
        self._add(self.frame.filter(bad.fill_null(value=False)), column, rule, hint)

    def _add(self, rows: pl.DataFrame, column: str, rule: str, hint: str = "") -> None:
        if rows.is_empty():
            return
        problem = Problem(
            column=column, rule=rule, count=rows.height, places=_places(rows.head(3)), hint=hint
        )
        self.problems.append(problem)
        self._bad.append(rows.select(ROW, pl.lit(f"{column}: {rule}").alias("problem")))

    def split(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows of whole trajectories; numbers of those set aside and their first problem."""
        none = self.frame.select(ROW, pl.lit("").alias("problem")).clear()
        bad = pl.concat([none, *self._bad]).unique(subset=ROW, keep="first")
        rows = self.frame.select(ROW, "trajectory_id")
        marked = rows.join(bad, on=ROW, how="left", maintain_order="left")
        reason = pl.col("problem").drop_nulls().first().over("trajectory_id")
        nameless = pl.col("trajectory_id").is_null()
        own = pl.col("problem")
        marked = marked.with_columns(pl.when(nameless).then(own).otherwise(own.fill_null(reason)))
        return (
            self.frame.filter(marked["problem"].is_null()),
            marked.filter(pl.col("problem").is_not_null()).select(ROW, "problem"),
        )


def _opposite(values: pl.Series) -> pl.Series:
    """The opposite of truth values or of 0 and 1; other types are left for the cast to refuse."""
    if values.dtype == pl.Boolean:
        return ~values
    return 1.0 - values.cast(pl.Float64) if values.dtype.is_numeric() else values


def _cast(before: pl.Series, dtype: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """A column as another type, and where that loses the value.

    Text is read as numbers; among numbers, truth values and lists a value is lost where the way
    back gives another one, such as 1.5 as an integer or 2 as a truth value. Reals of 32 bits are
    rounded.
    """
    if before.dtype == pl.Struct:
        raise pl.exceptions.InvalidOperationError(f"{before.dtype} is no {dtype}")
    after = before.cast(dtype, strict=False)
    lost = after.is_null() & before.is_not_null()
    rounded = dtype == pl.List(pl.Float32)
    if before.dtype.is_numeric() or (before.dtype.is_nested() and not rounded):
        lost |= after.cast(before.dtype, strict=False).ne_missing(before)
    return after, lost


def _places(rows: pl.DataFrame) -> list[str]:
    """Where rows stand: file and line if the log says so, else the row counted from 0."""
    places = []
    for row in rows.iter_rows(named=True):
        file, line = row.get("source_file"), row.get("source_line")
        if file is not None and line is not None:
            places.append(f"{file}:{line}")
        else:
            places.append(f"row {row[ROW]}")
    return places


def _content_columns(frame: pl.DataFrame) -> list[str]:
    """The known columns that say what happened; copies of a step agree on all of them."""
    entries = {name: known(name) for name in frame.columns}
    return [name for name, column in entries.items() if column and not column.bookkeeping]


def _collapse(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Identical rows of one step become one row with their count in `copies`."""
    step = ["trajectory_id", "step_index"]
    copies = frame.group_by(step).agg(pl.col("copies").cast(pl.Int64).sum().cast(pl.Int32))
    if copies.height == frame.height:
        return frame, []
    first = frame.sort("source_row").unique(subset=step, keep="first", maintain_order=True)
    log = first.drop("copies").join(copies, on=step, how="left")
    return log, [f"{frame.height - log.height} repeated rows were collapsed into `copies`"]


def _exclude(log: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Marks whole trajectories whose reward cannot be used, with the reason."""
    if "excluded" not in log.columns:
        log = log.with_columns(pl.lit(None, dtype=pl.String).alias("excluded"))
    step = pl.col("step_index").cast(pl.String)
    reason = (
        pl.when(pl.col("excluded").is_not_null())
        .then(pl.col("excluded"))
        .when(pl.col("reward").is_null())
        .then(pl.lit("reward is null at step ") + step)
        .when(~pl.col("reward").is_finite())
        .then(pl.lit("reward is not finite at step ") + step)
    )
    first = reason.sort_by("step_index").drop_nulls().first().over("trajectory_id")
    log = log.with_columns(first.alias("excluded"))
    count = log.filter(pl.col("excluded").is_not_null())["trajectory_id"].n_unique()
    total = log["trajectory_id"].n_unique()
    if not count:
        return log, []
    return log, [f"{count} of {total} trajectories are excluded from scoring (column `excluded`)"]


def _episode_reward_notice(log: pl.DataFrame) -> list[str]:
    """Says where the logged episode reward is not the sum of the rewards."""
    if "episode_reward" not in log.columns:
        return []
    sums = log.filter(pl.col("excluded").is_null()).group_by("trajectory_id", maintain_order=True)
    sums_frame = sums.agg(pl.col("reward").sum(), pl.col("episode_reward").drop_nulls().first())
    tolerance = 1e-6 * pl.col("episode_reward").abs().clip(lower_bound=1.0)
    off = sums_frame.filter((pl.col("reward") - pl.col("episode_reward")).abs() > tolerance)
    if off.is_empty():
        return []
    first = off.row(0, named=True)
    return [
        f"episode_reward is not the sum of the rewards in {off.height} trajectories, first "
        f"{first['trajectory_id']!r} ({first['episode_reward']:g} against {first['reward']:g}); "
        "the sum is used"
    ]


def _arrange(log: pl.DataFrame) -> pl.DataFrame:
    """Canonical order of columns and rows."""
    names = [name for name in log.columns if name != ROW]
    ordered = [name for column in STEP_LOG for name in names if column.matches(name)]
    others = [name for name in names if name not in ordered]
    return log.select(*ordered, *others).sort("group_id", "trajectory_id", "step_index")
