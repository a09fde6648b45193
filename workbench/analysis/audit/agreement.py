"""Agreement with numbers of the log: the trainer's own advantage, and labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from workbench.analysis.audit.statistics import Reading, rank_correlation, segment_ranks, spearman
from workbench.analysis.audit.subject import AuditedLog, Subject
from workbench.errors import ParameterError, WorkbenchError
from workbench.log.remarks import TOLERANCE
from workbench.log.steps import Real, Truth
from workbench.methods import create
from workbench.methods.capabilities import PenalisesInvalid, compares_texts, own_embedder
from workbench.methods.variants import variants
from workbench.methods.what_if import WhatIf

NEAR = 1e-4
_NOT_ZERO = 1e-2  # of what it is compared with; advantages are logged with a few digits
PENALTIES = (0.0, 0.1)  # the trainers' own for an invalid action; a log does not say which
LABEL = "true_advantage"  # used where a log has it and no other is asked for


def logged(subject: Subject) -> Iterator[Reading]:
    """Distance of a credit from the trainer's advantage; nothing where none is logged."""
    theirs, known = _numbers(subject.log, "logged_advantage")
    if not known.any():
        return
    difference = np.abs(subject.advantage - theirs)[known]
    worst = int(np.flatnonzero(known)[np.argmax(difference)])
    step = subject.steps.identity(worst)
    count = int(known.sum())
    yield Reading(measure="logged_within", value=float((difference <= NEAR).mean()), count=count)
    yield Reading(
        measure="logged_largest_difference",
        value=float(difference.max()),
        count=count,
        where=f"{step['trajectory_id']}:{step['step_index']}",
    )
    rank = spearman(subject.advantage[known], theirs[known])
    yield Reading(measure="logged_rank", value=rank, count=count)


def closest_to_logged(log: AuditedLog, *, texts: bool) -> Iterator[Reading]:
    """The registered method or dialect that agrees best with the trainer's own advantage.

    Every one is tried, with and without a penalty of 0.1 for invalid actions where the log has
    those.

    Args:
        log: The log.
        texts: Whether methods that compare texts are tried too, which may embed the log.
    """
    theirs, known = _numbers(log, "logged_advantage")
    if not known.any():
        return
    best: list[tuple[float, float, str, float]] = []
    for name in variants():
        for penalty in PENALTIES if log.steps.invalid_action.any() else PENALTIES[:1]:
            found = _tried(log, name, penalty, texts=texts)
            if found is None:
                continue
            difference = np.abs(found - theirs)[known]
            label = name + (f" -p invalid_penalty={penalty:g}" if penalty else "")
            # The share counts first; among equals the smallest mean difference.
            far = -float((difference <= NEAR).mean())
            best.append((far, float(difference.mean()), label, float(difference.max())))
    if best:
        far, _, label, largest = min(best)
        yield Reading(
            measure="closest_to_logged",
            value=-far,
            count=int(known.sum()),
            where=label,
            note=f"largest difference {largest:.3g}; {len(best)} variants tried",
        )


def _tried(log: AuditedLog, name: str, penalty: float, *, texts: bool) -> Real | None:
    """A variant's credit; None where it has no penalty, lacks something, or may not embed."""
    method = create(name)
    if own_embedder(method) or (compares_texts(method) and not texts):
        return None
    if penalty:
        if not isinstance(method, PenalisesInvalid):
            return None
        method = create(name, {"invalid_penalty": penalty})
    if "ignores-rewards" in method.info.traits or isinstance(method, WhatIf):
        return None
    try:
        return method(log.steps, log.space).advantage
    except WorkbenchError:
        return None  # what it needs is not in this log, so it did not make the numbers either


def label_by_group(subject: Subject, column: str | None) -> Real | None:
    """Rank correlation with a column inside each group; None where the log lacks it. (G,)."""
    name, steps = column or LABEL, subject.steps
    if name not in steps.log.columns:
        return None
    values, known = _numbers(subject.log, name)
    group = steps.group[known]
    return rank_correlation(subject.advantage[known], values[known], group, steps.groups)


def labels(subject: Subject, column: str | None) -> Iterator[Reading]:
    """Agreement of a credit with a column of the log, numbers or yes/no.

    Raises:
        ParameterError: The log has no such column, or it holds neither numbers nor yes/no.
    """
    name = column or LABEL
    if name not in subject.steps.log.columns:
        if column is None:
            return
        raise ParameterError(f"the log has no column {name!r}; it has {subject.steps.log.columns}")
    values, known = _numbers(subject.log, name)
    advantage, values = subject.advantage[known], values[known]
    if subject.steps.log.schema[name] == pl.Boolean:
        value, note = _area(advantage, values > 0.5), "probability that yes ranks above no"
    else:
        value, note = spearman(advantage, values), "rank correlation"
    yield Reading(
        measure="label_agreement",
        value=value,
        count=int(known.sum()),
        note=f"with {name}: {note}",
    )
    if subject.steps.log.schema[name] == pl.Boolean:
        return
    signed = (np.abs(advantage) > TOLERANCE) & (np.abs(values) > TOLERANCE)
    same = (advantage * values > 0)[signed]
    yield Reading(
        measure="label_sign_agreement",
        value=float(same.mean()) if len(same) else None,
        count=len(same),
        note=f"with {name}",
    )


def _area(credit: Real, yes: Truth) -> float | None:
    """Probability that a yes has more credit than a no, ties half (area under the ROC curve)."""
    positive, negative = int(yes.sum()), int((~yes).sum())
    if not positive or not negative:
        return None
    ranks = segment_ranks(credit, np.zeros(len(credit), dtype=np.int64))
    return float((ranks[yes].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _numbers(log: AuditedLog, name: str) -> tuple[Real, Truth]:
    """A column of the log as numbers at the scored steps, 0 where unknown, and where it is known.

    Raises:
        ParameterError: It holds neither numbers nor yes/no.
    """
    series = log.steps.column(name)
    if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)):
        raise ParameterError(f"{name!r} is {series.dtype}, neither numbers nor yes/no")
    values = series.cast(pl.Float64)
    known = values.is_not_null() & values.is_finite().fill_null(value=False)
    return values.fill_null(0.0).fill_nan(0.0).to_numpy(), known.to_numpy()


def merged_groups(log: AuditedLog) -> Iterator[Reading]:
    """Groups that the trainer's own advantage contradicts, where it has one per trajectory."""
    rows = log.steps.log
    if "logged_advantage" not in rows.columns:
        return
    used = pl.col("excluded").is_null() & pl.col("in_group_statistics")
    own = pl.col("logged_advantage")
    trajectories = (
        rows.filter(used)
        .group_by("trajectory_id")
        .agg(
            pl.col("group_id").first(),
            pl.col("reward").sum(),
            own.first(),
            (own.is_not_null().all() & (own.n_unique() == 1)).alias("one"),
        )
    )
    size = pl.col("logged_advantage").abs()
    equal = own.max().over("group_id", "reward") - own.min().over("group_id", "reward")
    groups = (
        trajectories.with_columns(equal.alias("apart"))
        .group_by("group_id")
        .agg(
            pl.len().alias("rollouts"),
            pl.col("one").all(),
            (own.sum().abs() > _NOT_ZERO * size.sum()).alias("sum"),
            (pl.col("apart").max() > _NOT_ZERO * size.max()).alias("equal"),
        )
        .filter("one")
    )
    if groups.is_empty():
        note = "no group has one advantage per trajectory"
        yield Reading(measure="merged_groups", value=None, count=0, note=note)
        return
    counts = groups["rollouts"].value_counts().sort("count", "rollouts", descending=[True, False])
    usual, times = counts.row(0)
    rollouts = pl.col("rollouts")
    more = (
        (rollouts > usual) & (rollouts % usual == 0) if times > 1 and usual > 1 else pl.lit(False)
    )
    groups = groups.with_columns(more.alias("more"))
    said = {
        "the sum is not 0": "sum",
        "equal rewards have different advantages": "equal",
        f"a multiple of {usual} rollouts": "more",
    }
    found = [
        f"{text} in {int(groups[name].sum())}" for text, name in said.items() if groups[name].any()
    ]
    hit = groups.select(pl.any_horizontal("sum", "equal", "more")).to_series()
    yield Reading(
        measure="merged_groups",
        value=float(hit.mean()),  # type: ignore[arg-type]
        count=groups.height,
        note="; ".join(found),
    )
