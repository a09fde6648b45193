"""Decomposition of a credit into roles, rounds and neither, for the credit of any method.

Structural credit is the mean of a role over the rounds, temporal credit the mean of a round over
the roles; what each explains of the variance says where to look. Blocks of low credit can be all
that a batch trains on.

Scores such as a judge's differ by their means. An advantage is 0 in the mean over what a policy
does, so of advantages the means of roles say little; the share of Σ c² says at which role and round
the decisions mattered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from workbench.errors import MissingInputError, ParameterError, UnknownNameError
from workbench.log.segments import EQUAL, segment_mean, segment_sum
from workbench.log.steps import Index, Real

_STEP = ["group_id", "trajectory_id", "step_index"]
_FACTORS: Mapping[str, Sequence[str]] = {
    "role": ["role"],
    "round": ["round"],
    "role-round": ["role", "round"],
}


@dataclass(frozen=True, kw_only=True)
class Decomposition:
    """Variance of a credit, split over role and round.

    Args:
        steps: Scored steps with a role and a round.
        left_out: Scored steps without one.
        variance: Variance of the credit (ddof 0); shares are of it, and all 0 where it is 0.
        role: Share that roles explain.
        round: Share that rounds explain.
        interaction: Share that the cells of role and round explain beyond both.
        within: Share inside the cells.
        cells: role, round, steps, mean, std (ddof 1; null for one step), share of Σ c².
        roles: role, steps, mean, std, share.
        rounds: round, steps, mean, std, share.
    """

    steps: int
    left_out: int
    variance: float
    role: float
    round: float
    interaction: float
    within: float
    cells: pl.DataFrame
    roles: pl.DataFrame
    rounds: pl.DataFrame

    @property
    def residual(self) -> float:
        """Share that the two-way fit leaves: interaction and within."""
        return self.interaction + self.within

    @property
    def level(self) -> bool:
        """True where all roles and rounds have one mean credit, so that neither explains any."""
        return self.variance > 0.0 and self.within > 1.0 - 1e-9

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        numbers = ("steps", "left_out", "variance", "role", "round", "interaction", "within")
        return {
            **{name: getattr(self, name) for name in numbers},
            "residual": self.residual,
            **{name: getattr(self, name).to_dicts() for name in ("cells", "roles", "rounds")},
        }


def decompose(log: pl.DataFrame, credit: pl.DataFrame) -> Decomposition:
    """Fits credit by role and round and says how much of its variance each explains.

        c_i ≈ μ + a(role_i) + b(round_i)        least squares over steps

    The share of a role is the mean of what it explains alone and of what it adds to rounds, and
    likewise for rounds, since steps are rarely spread evenly over both (the average over orders of
    Lindeman, Merenda and Gold). role + round + interaction + within = 1.

    Args:
        log: A validated step log with role and round.
        credit: The table of a credit of this log.

    Raises:
        MissingInputError: The log has no role or no round, or no scored step has both.
        ParameterError: The credit is of other steps.
    """
    steps = _joined(log, credit)
    known = steps.drop_nulls(["role", "round"])
    if known.is_empty():
        raise MissingInputError("no scored step has both a role and a round")
    value = known["advantage"].to_numpy()
    role, roles = _codes(known["role"])
    round_, rounds = _codes(known["round"])
    parts = _sums_of_squares(value, role, roles, round_, rounds)
    total = sum(parts)
    shares = [part / total if total > 0 else 0.0 for part in parts]
    return Decomposition(
        steps=known.height,
        left_out=steps.height - known.height,
        variance=total / known.height,
        role=shares[0],
        round=shares[1],
        interaction=shares[2],
        within=shares[3],
        cells=_summary(known, ["role", "round"]),
        roles=_summary(known, ["role"]),
        rounds=_summary(known, ["round"]),
    )


def _joined(log: pl.DataFrame, credit: pl.DataFrame) -> pl.DataFrame:
    """The scored steps with role, round and advantage."""
    missing = [
        name
        for name in ("role", "round")
        if name not in log.columns or log[name].null_count() == log.height
    ]
    if missing:
        raise MissingInputError(
            f"the log has no {' and no '.join(missing)}. Hint: `workbench import FILE… "
            "--map columns.json -o LOG` takes them from columns of other names"
        )
    steps = log.select(*_STEP, "role", "round").join(
        credit.select(*_STEP, "advantage"), on=_STEP, how="full", coalesce=True
    )
    if not steps.height == log.height == credit.height:
        raise ParameterError(
            "log and credit do not describe the same steps. Hint: score this log again"
        )
    return steps.drop_nulls("advantage").sort(_STEP)


def _codes(values: pl.Series) -> tuple[Index, int]:
    codes = values.rank("dense").cast(pl.Int64).to_numpy() - 1
    return codes, int(codes.max()) + 1


def _sums_of_squares(
    value: Real, role: Index, roles: int, round_: Index, rounds: int
) -> tuple[float, float, float, float]:
    """Σ (c − μ)² split into roles, rounds, their cells beyond both, and steps inside cells."""
    if np.ptp(value) <= EQUAL * np.abs(value).max():
        return 0.0, 0.0, 0.0, 0.0
    centred = value - value.mean()
    cell = role * rounds + round_
    count = segment_sum(np.ones_like(value), cell, roles * rounds)
    mean = segment_mean(centred, cell, roles * rounds)
    of_cells = float(count @ mean**2)
    of_role = _between(centred, role, roles)
    of_round = _between(centred, round_, rounds)
    some = np.flatnonzero(count)
    design = np.zeros((len(some), roles + rounds))
    design[np.arange(len(some)), some // rounds] = 1.0
    design[np.arange(len(some)), roles + some % rounds] = 1.0
    root = np.sqrt(count[some])
    fit, *_ = np.linalg.lstsq(design * root[:, None], mean[some] * root)
    of_both = float(count[some] @ (design @ fit) ** 2)
    own_role = (of_role + max(of_both - of_round, 0.0)) / 2
    own_round = (of_round + max(of_both - of_role, 0.0)) / 2
    return (
        own_role,
        own_round,
        max(of_cells - own_role - own_round, 0.0),
        max(float(centred @ centred) - of_cells, 0.0),
    )


def _between(centred: Real, factor: Index, levels: int) -> float:
    count = segment_sum(np.ones_like(centred), factor, levels)
    return float(count @ segment_mean(centred, factor, levels) ** 2)


def _summary(steps: pl.DataFrame, factors: list[str]) -> pl.DataFrame:
    value = pl.col("advantage")
    mean = value.mean()
    # What rounding leaves of a sum that is 0 would be shown, and would order the blocks.
    mean = pl.when(mean.abs() > EQUAL * value.abs().max()).then(mean).otherwise(0.0)
    total = (steps["advantage"] ** 2).sum()
    summary = steps.group_by(factors, maintain_order=True).agg(
        pl.len().alias("steps"),
        mean.alias("mean"),
        value.std().alias("std"),
        (value**2).sum().alias("share"),
    )
    return summary.with_columns(pl.col("share") / (total or 1.0)).sort(factors)


def lowest(found: Decomposition, blocks: str, count: int) -> pl.DataFrame:
    """The blocks with the lowest mean credit, lowest first.

    Args:
        found: From `decompose`.
        blocks: What a block is: "role", "round", or "role-round", a role in a round.
        count: How many; at least one block stays out.

    Raises:
        UnknownNameError: There are no such blocks.
        ParameterError: There are not so many of them.
    """
    if blocks not in _FACTORS:
        raise UnknownNameError("kind of block", blocks, _FACTORS)
    table = {"role": found.roles, "round": found.rounds, "role-round": found.cells}[blocks]
    if not 1 <= count < table.height:
        raise ParameterError(
            f"lowest must be from 1 to {table.height - 1} of {table.height} blocks, got {count}"
        )
    return table.sort("mean", *_FACTORS[blocks]).head(count)


def masked(log: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
    """The log with `gradient_mask` true only inside chosen blocks, where it was true before.

    Steps without the role or round of a block are outside. Statistics of methods are unchanged:
    masked steps still count in them.

    Args:
        log: A validated step log.
        chosen: From `lowest`.
    """
    factors = [name for name in ("role", "round") if name in chosen.columns]
    inside = log.select(factors).join(
        chosen.select(*factors, chosen=pl.lit(value=True)),
        on=factors,
        how="left",
        maintain_order="left",
    )["chosen"]
    return log.with_columns(gradient_mask=pl.col("gradient_mask") & inside.fill_null(value=False))
