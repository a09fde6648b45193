"""The rules of the step log: one table, one row per step.

The columns are in `columns.STEP_LOG`. A log that breaks a rule is refused with every problem at
once, or its broken trajectories are set aside where the user asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from workbench.errors import LogError, ParameterError, Problem
from workbench.log.columns import REWARDS_HINT, STEP_LOG, Column
from workbench.log.increments import sentences, with_increments
from workbench.log.policies import mixed_policies
from workbench.log.rules import ROW, Checks, cast, repeated_steps
from workbench.log.verdicts import verdicts_of
from workbench.wording import are, of_all

__all__ = ["STEP_LOG", "Column", "Validated", "rename", "validate"]


@dataclass(frozen=True, kw_only=True)
class Validated:
    """Result of `validate`: the step log and a report on what was changed.

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


TOO_LARGE = 1e100
"""Sum of a trajectory's |rewards| from which on squares of it would overflow."""


def rename(frame: pl.DataFrame, columns: Mapping[str, str]) -> tuple[pl.DataFrame, dict[str, str]]:
    """Give columns their canonical names: first as mapped, then by the aliases of `STEP_LOG`.

    Args:
        frame: Any frame.
        columns: Canonical name -> name in the frame.

    Returns:
        The frame, and canonical name -> old name for all that were renamed. A canonical column
        that is in the frame already is never overwritten by an alias.

    Raises:
        ParameterError: The mapping names a column that the frame does not have, or one twice.
    """
    missing = {old for old in columns.values() if old not in frame.columns}
    if missing:
        raise ParameterError(
            f"the column mapping names {sorted(missing)}, which the file does not have; "
            f"found {frame.columns}"
        )
    kept = list(columns.values())
    twice = sorted({old for old in kept if kept.count(old) > 1})
    if twice:
        raise ParameterError(f"the column mapping gives {twice} more than one name")
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


def _opposite(values: pl.Series) -> pl.Series:
    """The opposite of truth values, in words too, or of 0 and 1; others are left to be refused."""
    if values.dtype == pl.Boolean:
        return ~values
    if values.dtype == pl.String:
        truths, _ = cast(values, pl.Boolean())
        opposite = pl.when(truths.is_not_null()).then((~truths).cast(pl.String))
        return pl.select(opposite.otherwise(values).alias(values.name)).to_series()
    return 1.0 - values.cast(pl.Float64) if values.dtype.is_numeric() else values


def validate(frame: pl.DataFrame, *, quarantine: bool = False) -> Validated:
    """Check a frame against the step log and bring it into canonical form.

    Types are cast where nothing is lost, defaults filled in, identical rows of one step collapsed
    into `copies`, rows sorted. A trajectory with a null or non-finite reward keeps its rows and
    gets its reason in `excluded`; it enters no statistic and no batch.

    Args:
        frame: One row per step, columns under canonical names or their aliases.
        quarantine: Set trajectories that break a rule aside instead of refusing the log.

    Raises:
        LogError: A rule is broken (every problem is listed), or nothing is left.
    """
    subject = f"a step log of {frame.height} rows"
    frame, renamed = rename(frame, {})
    if frame.is_empty():
        hint = "the file has a header but no data" if frame.columns else ""
        raise LogError(subject, [Problem(column="rows", rule="there are none", hint=hint)])
    if ROW in frame.columns:
        rule = "is a name that the workbench needs for itself"
        raise LogError(subject, [Problem(column=ROW, rule=rule, hint="rename the column")])
    if "source_row" not in frame.columns:
        frame = frame.with_row_index("source_row")
    frame, words = _with_verdicts(with_response_tokens(frame))
    frame = frame.with_row_index(ROW)

    check = Checks(frame)
    check.columns_present()
    check.types()
    if check.fatal:
        check.rows_rules()
        raise LogError(subject, check.problems)
    check.fill_defaults()
    check.rows_rules()
    good, bad = check.split()
    if good.is_empty() or (check.problems and not quarantine):
        raise LogError(subject, check.problems, _way_on(good))
    log, notices = _collapse(good)
    log, more = _exclude(log)
    log, changes = with_increments(_arrange(log))
    log = _arrange(log)
    return Validated(
        log=log,
        quarantined=frame.drop("problem", strict=False)
        .join(bad, on=ROW, maintain_order="left")
        .drop(ROW),
        problems=tuple(check.problems),
        notices=(
            *_mixed_policies_notice(log),
            *words,
            *notices,
            *more,
            *_episode_reward_notice(log),
            *_copied_outcome_notice(log),
            *sentences(changes),
        ),
        renamed=renamed,
    )


def with_response_tokens(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows with the number of tokens that the policy wrote, where only a mask says it."""
    names = {"response_tokens", "n_tokens"}
    if names & set(frame.columns) or not isinstance(frame.schema.get("response_mask"), pl.List):
        return frame
    if not frame.schema["response_mask"].inner.is_numeric():  # type: ignore[attr-defined]
        return frame
    count = pl.col("response_mask").list.sum().cast(pl.Int32, strict=False)
    return frame.with_columns(count.alias("response_tokens"))


def _with_verdicts(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Words in `success` and `reward` as what they mean, if all of a column are of one set.

    Of other words `success` is not known; a reward of other words is left, to be refused.
    """
    notices = []
    for name in ("success", "reward"):
        if frame.schema.get(name) != pl.String:
            continue
        values = frame[name]
        is_word = values.is_not_null() & values.cast(pl.Float64, strict=False).is_null()
        words = values.filter(is_word).unique().sort()
        if words.is_empty():
            continue
        known = verdicts_of(words.to_list()) if is_word.sum() == values.count() else None
        if known is not None:
            lower = values.str.strip_chars().str.to_lowercase()
            found = lower.replace_strict(known, return_dtype=pl.Float64)
            # Half a success is none, as a truth value.
            frame = frame.with_columns(found == 1.0 if name == "success" else found)
        elif name == "success":
            shown = ", ".join(map(repr, words.head(4)))
            notices.append(f"success is not known: its words are of no one set ({shown})")
            frame = frame.with_columns(pl.lit(None, dtype=pl.Boolean).alias(name))
    return frame, notices


def _way_on(good: pl.DataFrame) -> str:
    count = good["trajectory_id"].n_unique()
    how = "workbench import --quarantine FILE sets the broken trajectories aside"
    return f"{how} and keeps the others ({count})" if count else ""


def _collapse(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Identical rows of one step become one row with their count in `copies`."""
    step = ["trajectory_id", "step_index"]
    if repeated_steps(frame).is_empty():
        return frame, []
    total = pl.col("copies").cast(pl.Int64).sum().clip(upper_bound=2**31 - 1)
    copies = frame.group_by(step).agg(total.cast(pl.Int32))
    first = frame.sort("source_row").unique(subset=step, keep="first", maintain_order=True)
    log = first.drop("copies").join(copies, on=step, how="left")
    return log, [
        f"{are(frame.height - log.height, 'repeated row', 'were')} collapsed into `copies`"
    ]


def _exclude(log: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Marks whole trajectories whose reward cannot be used, with the reason."""
    if "excluded" not in log.columns:
        log = log.with_columns(pl.lit(None, dtype=pl.String).alias("excluded"))
    step, logged = pl.col("step_index").cast(pl.String), pl.col("excluded")
    # A reason of our own is found again if it still holds: the reward may have been mended.
    own = r"^reward is (null|not finite) at step \d+$|^reward is too large$"
    foreign = (logged != "") & ~logged.str.contains(own)
    usable = pl.col("reward").is_finite().all().over("trajectory_id")
    reason = (
        pl.when(foreign)
        .then(logged)
        .when(pl.col("reward").is_null())
        .then(pl.lit("reward is null at step ") + step)
        .when(~pl.col("reward").is_finite())
        .then(pl.lit("reward is not finite at step ") + step)
        .when(usable & (pl.col("reward").abs().sum().over("trajectory_id") > TOO_LARGE))
        .then(pl.lit("reward is too large"))
    )
    log = log.with_columns(reason.alias("excluded"))
    if log["excluded"].null_count() == log.height:
        return log, []
    first = pl.col("excluded").sort_by("step_index").drop_nulls().first().over("trajectory_id")
    log = log.with_columns(first)
    count = log.filter(pl.col("excluded").is_not_null())["trajectory_id"].n_unique()
    total = log["trajectory_id"].n_unique()
    if log["reward"].null_count() == log.height:
        return log, [f"no step has a reward, so that nothing can be scored: {REWARDS_HINT}"]
    return log, [f"{of_all(count, total, 'trajectory')} excluded from scoring (column `excluded`)"]


def _mixed_policies_notice(log: pl.DataFrame) -> list[str]:
    found = mixed_policies(log)
    return [] if found is None else [found]


def _episode_reward_notice(log: pl.DataFrame) -> list[str]:
    """Say where the logged episode reward is not the sum of the rewards."""
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


def _copied_outcome_notice(log: pl.DataFrame) -> list[str]:
    """Say where rewards look like an outcome that was written onto every step."""
    narrow = log.select("trajectory_id", "reward", "excluded")
    scored = narrow.filter(pl.col("excluded").is_null()).group_by("trajectory_id")
    reward = pl.col("reward")
    of_trajectory = scored.agg(
        (pl.len() > 1).alias("long"),
        (reward.min() == reward.max()).alias("same"),
        (reward.first() != 0).alias("paid"),
    ).filter("long")
    suspect = of_trajectory.filter(pl.col("same") & pl.col("paid")).height
    if not suspect or not of_trajectory["same"].all():
        return []
    return [
        f"every step of a trajectory has the same reward, {suspect} times not 0: if that is the "
        "outcome copied onto each step, it counts once per step; put it on the last step, 0 before"
    ]


def _arrange(log: pl.DataFrame) -> pl.DataFrame:
    """Canonical order of columns and rows."""
    names = [name for name in log.columns if name != ROW]
    ordered = [name for column in STEP_LOG for name in names if column.matches(name)]
    others = [name for name in names if name not in ordered]
    return log.select(*ordered, *others).sort("group_id", "trajectory_id", "step_index")
