"""The rules of the step log, each checked for all rows at once."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from workbench.errors import Problem
from workbench.log.columns import STEP_LOG, Column, known
from workbench.log.nodes import nodes_of
from workbench.log.verdicts import TRUTHS

ROW = "__row"
"""Name of the row number while rules are checked."""

_PLACE = ("source_file", "source_line")
_SHOWN = 3  # places of a problem


class Checks:
    """Collects problems of one frame, each with the rows that have it."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self.problems: list[Problem] = []
        self.fatal = False
        self._bad: list[pl.DataFrame] = []
        self._lost: dict[str, list[int]] = {}

    def columns_present(self) -> None:
        """Required columns are there."""
        problem = missing_columns(self.frame.columns)
        if problem is not None:
            self.fatal = True
            self.problems.append(problem)

    def types(self) -> None:
        """Known columns have their types, or are cast to them without a loss."""
        for name in self.frame.columns:
            column = known(name)
            if column is None or self.frame.schema[name] == column.dtype:
                continue
            self._cast(name, column)

    def _cast(self, name: str, column: Column) -> None:
        before = self.frame[name]
        try:
            after, lost = cast(before, column.dtype)
        except (pl.exceptions.InvalidOperationError, pl.exceptions.ComputeError):
            self.fatal = True
            rule = f"is {before.dtype}, expected {column.dtype}"
            problem = Problem(column=name, rule=rule, count=before.len(), hint=_names_of(column))
            self.problems.append(problem)
            self.frame = self.frame.drop(name)
            return
        rows = self.frame.filter(lost)
        self._lost[name] = rows[ROW].to_list()
        # Numbers of a column that was negated are not the values that were given.
        as_given = not column.negated or before.dtype == pl.String
        values = before.filter(lost).head(_SHOWN if as_given else 0)
        said = [_excerpt(value) for value in values]
        hint = f"true or false, yes or no, 1 or 0{_names_of(column, '; ')}"
        hint = hint if column.dtype == pl.Boolean and before.dtype == pl.String else ""
        self._add(rows, name, f"is not a valid {column.dtype}", hint, said=said)
        self.frame = self.frame.with_columns(after.alias(name))

    def fill_defaults(self) -> None:
        """Missing values get the trajectory's, or the default."""
        for column in STEP_LOG:
            if column.default is None:
                continue
            value = pl.lit(column.default, dtype=column.dtype).alias(column.name)
            if column.name in self.frame.columns:
                given = pl.col(column.name)
                if column.constant:
                    given = given.fill_null(given.drop_nulls().first().over("trajectory_id"))
                value = given.fill_null(value)
            self.frame = self.frame.with_columns(value)

    def rows_rules(self) -> None:
        """Every rule about single rows and about trajectories."""
        has = set(self.frame.columns)
        for column in STEP_LOG:
            if column.required and column.name != "reward" and column.name in has:
                given = ~pl.col(ROW).is_in(self._lost.get(column.name, []))
                self._where(column.name, pl.col(column.name).is_null() & given, "is null")
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
        for column in STEP_LOG:
            name, other = column.name, column.aligned_with
            if other is not None and {name, other} <= has:
                bad = pl.col(name).list.len() != pl.col(other).list.len()
                self._where(name, bad, f"has another length than {other}")

    def _trajectory_rules(self, has: set[str]) -> None:
        one = pl.col("trajectory_id")
        named = one.is_not_null()
        two_groups = named & (pl.col("group_id").drop_nulls().n_unique().over(one) > 1)
        self._where(
            "trajectory_id",
            two_groups,
            "is in more than one group",
            "trajectory ids must be unique in a log; prefix them with the group",
            together="trajectory_id",
        )
        if "train_step" in has:
            self._where(
                "group_id",
                pl.col("train_step").drop_nulls().n_unique().over("group_id") > 1,
                "spans several values of train_step",
                "put the train_step into group_id; leave the column out to join them on purpose",
                together="group_id",
            )
        self._step_rules()
        for column in STEP_LOG:
            for name in filter(column.matches, sorted(has) if column.constant else ()):
                differs = pl.col(name).drop_nulls().n_unique().over(one) > 1
                self._where(name, named & differs, "differs within a trajectory")
        self._tree_rules(has)
        self._conflicts()

    def _step_rules(self) -> None:
        """The steps of a trajectory are 0, 1, 2 and so on; each gap is named where it ends.

        Trajectories with a step that is null or no number have that problem already.
        """
        one, step = pl.col("trajectory_id"), pl.col("step_index").cast(pl.Int64)
        places = [name for name in _PLACE if name in self.frame.columns]
        rows = self.frame.select(ROW, "trajectory_id", "step_index", *places)
        rows = rows.filter(one.is_not_null() & step.is_not_null().all().over(one))
        count, first = step.n_unique().over(one), step.min().over(one)
        odd = rows.filter((first != 0) | (step.max().over(one) + 1 != count))
        odd = odd.sort("step_index", ROW).with_columns(step.shift(1).over(one).alias("before"))
        low, high = pl.col("before") + 1, step - 1
        for bad, rule, hint, said in (
            (
                pl.col("before").is_null() & (step != 0),
                "does not begin with 0",
                "step_index is 0-based",
                pl.format("trajectory '{}' begins with {}", one, step),
            ),
            (
                step - pl.col("before") > 1,
                "has gaps",
                "steps of a trajectory must be contiguous",
                pl.when(low == high)
                .then(pl.format("trajectory '{}' has no step {}", one, low))
                .otherwise(pl.format("trajectory '{}' has no steps {} to {}", one, low, high)),
            ),
        ):
            found = odd.filter(bad).sort(ROW)
            texts = found.head(_SHOWN).select(said).to_series().to_list()
            self._add(found, "step_index", rule, hint, said=texts)

    def _tree_rules(self, has: set[str]) -> None:
        if "node_id" not in has:
            return
        one = ["trajectory_id", "step_index"]
        rows = self.frame.drop_nulls(one).unique(one, keep="first").sort(one)
        nodes = nodes_of(rows)
        logged = "parent_id" in has
        for bad, column, rule, hint in (
            (
                nodes.misplaced,
                "parent_id",
                "is not the node of the step before",
                "only the first step of a trajectory can hang on a node outside of it",
            ),
            (
                nodes.conflicting & ~nodes.misplaced,
                "parent_id" if logged else "node_id",
                "gives its node another parent than an earlier row does",
                "a node has one parent; rollouts share the nodes of a common prefix only",
            ),
            (nodes.cyclic, "node_id", "has itself among its ancestors", "a tree has no cycles"),
        ):
            self._add(rows.filter(pl.Series(bad)), column, rule, hint)

    def _conflicts(self) -> None:
        step = ["trajectory_id", "step_index"]
        repeated = repeated_steps(self.frame)
        content = _content_columns(repeated)
        distinct = repeated.unique(subset=content, maintain_order=True)
        conflicting = distinct.filter(pl.struct(step).is_duplicated()).select(step).unique()
        found = repeated.join(conflicting, on=step, how="semi")
        found = found.sort(pl.col(ROW).min().over(step), ROW)
        hint = (
            "identical rows are collapsed; different ones need their own trajectory_id; rollouts "
            "of several updates need the update in group_id, or its key named train_step (--map)"
        )
        if "source_file" in found.columns:
            files = found.group_by("trajectory_id").agg(pl.col("source_file").n_unique())
            if (files["source_file"] > 1).any():
                hint += "; files of two runs that number alike: import each into a log of its own"
        rule = "appears twice in a trajectory with different content"
        self._add(found, "step_index", rule, hint)

    def _where(
        self, column: str, bad: pl.Expr, rule: str, hint: str = "", together: str = ROW
    ) -> None:
        """Notes rows that break a rule; what is alike in `together` is shown side by side."""
        rows = self.frame.filter(bad.fill_null(value=False))
        self._add(rows.sort(pl.col(ROW).min().over(together), ROW), column, rule, hint)

    def _add(
        self,
        rows: pl.DataFrame,
        column: str,
        rule: str,
        hint: str = "",
        said: Sequence[str] = (),
    ) -> None:
        """Notes rows that break a rule, with what there is to say of the first of them."""
        if rows.is_empty():
            return
        shown = rows if said else _one_a_place(rows)
        places = _places(shown.head(_SHOWN))
        if said:
            places = [f"{place} ({text})" for place, text in zip(places, said, strict=True)]
        problem = Problem(column=column, rule=rule, count=shown.height, places=places, hint=hint)
        self.problems.append(problem)
        self._bad.append(rows.select(ROW, pl.lit(f"{column}: {rule}").alias("problem")))

    def split(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows of whole trajectories; numbers of those set aside and their first problem."""
        none = self.frame.select(ROW, pl.lit("").alias("problem")).clear()
        bad = pl.concat([none, *self._bad]).unique(subset=ROW, keep="first")
        if bad.is_empty():
            return self.frame, bad
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


def repeated_steps(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows whose step another row claims too, in their order.

    Most logs have none: trajectories with more rows than steps are looked for first, which takes
    a fraction of the memory of a comparison of all rows.
    """
    steps = pl.col("step_index").n_unique().over("trajectory_id")
    some = frame.filter(pl.len().over("trajectory_id") != steps)
    return some.filter(pl.struct("trajectory_id", "step_index").is_duplicated())


def missing_columns(names: Sequence[str]) -> Problem | None:
    """Problem of a log that has only these columns; None where all required are there."""
    missing = [c.name for c in STEP_LOG if c.required and c.name not in names]
    if not missing:
        return None
    found = [name for name in names if name not in (ROW, "source_row")]
    hint = (
        'name them with --map: a JSON file with {"columns": {"reward": "score", …}}, which '
        "`workbench import FILE --propose-map map.json` writes to start from"
    )
    rule = f"missing columns {missing}; found {found}"
    return Problem(column="columns", rule=rule, hint=hint)


def cast(before: pl.Series, dtype: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """A column as another type, and where that loses the value.

    Text is read as numbers and as truth values (`verdicts.TRUTHS`); among numbers, truth values
    and lists a value is lost where the way back gives another one, such as 1.5 as an integer or 2
    as a truth value. Reals of 32 bits are rounded. NaN is how pandas writes a missing integer or
    truth value.
    """
    truth_as_text = before.dtype == pl.Boolean and dtype == pl.String
    time_as_number = before.dtype.is_temporal() and dtype != pl.String
    if before.dtype == pl.Struct or truth_as_text or time_as_number:
        raise pl.exceptions.InvalidOperationError(f"{before.dtype} is no {dtype}")
    if before.dtype.is_float() and (dtype.is_integer() or dtype == pl.Boolean):
        before = before.fill_nan(None)
    if before.dtype == pl.String and dtype == pl.Boolean:
        words = before.str.strip_chars().str.to_lowercase()
        after = words.replace_strict(TRUTHS, default=None, return_dtype=pl.Boolean)
    else:
        after = before.cast(dtype, strict=False)
    lost = after.is_null() & before.is_not_null()
    rounded = dtype == pl.List(pl.Float32)
    if before.dtype.is_numeric() or (before.dtype.is_nested() and not rounded):
        lost |= after.cast(before.dtype, strict=False).ne_missing(before)
    return after, lost


def _one_a_place(rows: pl.DataFrame) -> pl.DataFrame:
    """The first row of each line, where every row says its file and line."""
    if not set(_PLACE) <= set(rows.columns) or rows.select(pl.col(_PLACE).has_nulls()).row(0) != (
        False,
        False,
    ):
        return rows
    return rows.unique(_PLACE, keep="first", maintain_order=True)


def _places(rows: pl.DataFrame) -> list[str]:
    """Places of rows: file and line if the log has them, else the row counted from 0."""
    places = []
    for row in rows.iter_rows(named=True):
        file, line = row.get("source_file"), row.get("source_line")
        if file is not None and line is not None:
            places.append(f"{file}:{line}")
        else:
            places.append(f"row {row[ROW]}")
    return places


def _names_of(column: Column, before: str = "") -> str:
    """The names of its opposite that a column goes by too, for who never wrote its own."""
    names = " or ".join(column.negated)
    return f"{before}it is read from {names} too, as the opposite" if names else ""


def _excerpt(value: object) -> str:
    text = repr(value.to_list() if isinstance(value, pl.Series) else value)
    return text if len(text) <= 40 else text[:37] + "..."


def _content_columns(frame: pl.DataFrame) -> list[str]:
    """The known columns that say what happened; copies of a step agree on all of them."""
    entries = {name: known(name) for name in frame.columns}
    return [name for name, column in entries.items() if column and not column.bookkeeping]
